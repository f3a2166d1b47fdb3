//go:build !linux

package file

import "os"

// Marks are for linkUnnamed, which is Linux only.

func clearMark(int) error            { return nil }
func markOf(*os.File) (*mark, error) { return nil, nil }
func hasMark(string) (bool, error)   { return false, nil }
func probeSyncs(string) (bool, bool) { return false, false }
