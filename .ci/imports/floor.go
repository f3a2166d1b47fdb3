package main

import "strings"

// floors are the parts of the house in order from the top, and the packages of each: a
// directory and what is below it, or with a slash at its end only what is below it. The
// longest that fits counts, so that what nobody thought of lands elsewhere.
var floors = []struct {
	name string
	dirs []string
}{
	{"cmd", []string{"cmd"}},
	{"host", []string{"host"}},
	{"trigger, bindings, plugins", []string{"trigger", "bindings", "plugins"}},
	{"taskhub", []string{"taskhub"}},
	{"rooms of the task hub", []string{"taskhub/"}},
	{"storage", []string{"taskhub/storage"}},
	{"elsewhere", []string{""}},
}

// products are what is shipped, the host and what authors link. What neither of them
// imports is there to test, measure or show them.
var products = []string{"cmd/durafunc", "plugins/durable"}

// floorOf names the floor of a package.
func floorOf(path string) string {
	found, longest := "", -1
	for _, f := range floors {
		for _, dir := range f.dirs {
			if fits(path, dir) && len(dir) > longest {
				found, longest = f.name, len(dir)
			}
		}
	}
	return found
}

func fits(path, dir string) bool {
	if strings.HasSuffix(dir, "/") {
		return strings.HasPrefix(path, dir)
	}
	return dir == "" || within(path, dir)
}

// within reports whether path is dir or below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// short is the path as picture and tables show it: the rooms without the name of the house.
func short(path string) string {
	if rest, below := strings.CutPrefix(path, "taskhub/"); below {
		return rest
	}
	return path
}
