// Package ownership owns partitions.
package ownership
