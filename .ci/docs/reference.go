// Package docs holds what a test can hold of the documents: that every mark like F§1.9 E5
// in the code and in the documents is explained in docs/reference.md, that nothing is
// cited which a reader of this repository does not have, and that links, decisions and
// paths lead somewhere.
package docs

import (
	"regexp"
	"strconv"
	"strings"
)

var (
	// A mark names a section, and perhaps items of it: F§1.9 E5; F§3.1 W5, W6; E§C12, 14 to 16.
	markPattern = regexp.MustCompile(`([FEC]§[A-Z]?\d+(?:\.\d+)*)(?:,? (` + item + `(?:(?:, | and | to )` + item + `)*))?`)
	itemPattern = regexp.MustCompile(`(to )?(` + item + `)`)

	headingPattern    = regexp.MustCompile(`^#+ ([FEC]§\S+)`)
	definitionPattern = regexp.MustCompile(`^- \*\*(` + item + `)\*\* `)

	// elsewherePattern finds what is no document of this repository.
	elsewherePattern = regexp.MustCompile(`\b(?:design|engine|features|house|limit|peers|style)\.md\b|\b[Ii]ssue \d|\bdesign §`)
)

const item = `(?:[A-Z]\d+|\d+(?:\.\d+)?)\b`

// marks returns what text cites: each section, and each item as "section item". A range of
// items is spelled out.
func marks(text string) []string {
	var all []string
	for _, m := range markPattern.FindAllStringSubmatch(text, -1) {
		section, last := m[1], 0
		all = append(all, section)
		for _, i := range itemPattern.FindAllStringSubmatch(m[2], -1) {
			n, err := strconv.Atoi(i[2])
			for between := last + 1; i[1] != "" && err == nil && between < n; between++ {
				all = append(all, section+" "+strconv.Itoa(between))
			}
			all, last = append(all, section+" "+i[2]), n
		}
	}
	return all
}

// defined returns what the reference explains: sections are headings ("### F§1.9 External
// events"), items are entries of a list ("- **E5** …") below the heading of their section.
func defined(reference string) map[string]bool {
	all, section := make(map[string]bool), ""
	for line := range strings.Lines(reference) {
		if m := headingPattern.FindStringSubmatch(line); m != nil {
			section = m[1]
			all[section] = true
		} else if m := definitionPattern.FindStringSubmatch(line); m != nil {
			all[section+" "+m[1]] = true
		}
	}
	return all
}
