// Package cluster is what one host believes of the others and of the partitions.
package cluster
