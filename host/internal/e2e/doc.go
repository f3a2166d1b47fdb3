// Package e2e holds the tests of the whole host as a user meets it: real processes, on
// files and on MinIO, killed, frozen, misconfigured and under load. Package hosttest
// runs them.
package e2e
