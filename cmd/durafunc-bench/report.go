package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// summary is a workload on a store over its repetitions.
type summary struct {
	workload workload
	store    string
	n        int
	clients  int
	noisy    bool // every repetition was
	results  []result
}

// summarize leaves the disturbed repetitions out when there are others.
func summarize(w workload, store string, all []result) summary {
	s := summary{workload: w, store: store}
	for _, r := range all {
		if !r.Usage.Noisy {
			s.results = append(s.results, r)
		}
	}
	if len(s.results) == 0 {
		s.noisy, s.results = true, all
	}
	if len(all) > 0 {
		s.n, s.clients = all[0].N, all[0].Clients
	}
	return s
}

func (s *summary) over(f func(result) float64) spread {
	var values []float64
	for _, r := range s.results {
		values = append(values, f(r))
	}
	return spreadOf(values)
}

func (s *summary) figure(name string) spread {
	return s.over(func(r result) float64 { return r.Figures[name] })
}

// each is the cost per item of the workload.
func (s *summary) each(f func(usage) float64) spread {
	return s.over(func(r result) float64 { return f(r.Usage) / float64(r.N) })
}

// number writes a figure with three digits or so.
func number(v float64) string {
	switch {
	case v >= 1000:
		whole := fmt.Sprintf("%.0f", v)
		return whole[:len(whole)-3] + "," + whole[len(whole)-3:]
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func (s spread) String() string {
	if s.N < 2 {
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s-%s]", number(s.Median), number(s.Min), number(s.Max))
}

// figuresText lists figures in the order of their names.
func figuresText(figures map[string]float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		parts = append(parts, name+" "+number(figures[name]))
	}
	return strings.Join(parts, ", ")
}

// printTable writes the summaries of one store as a Markdown table.
func printTable(w io.Writer, store string, list []summary) {
	fmt.Fprintf(w, "\n### Store: %s\n\n", store)
	fmt.Fprintln(w, "| workload | n | ours | p50 / p95 ms | CPU ms an item: host + app (+ MinIO) | PUTs an item x ms (a Create alone) | allocations an item | RSS MB: host + app | best peer | target | bound | aim |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|---|")
	refs := references()
	for _, s := range list {
		if s.store != store {
			continue
		}
		ref := refs[s.workload.id]
		cells := []string{
			s.name(), number(float64(s.n)), s.ours(), s.latency(), s.cpu(), s.puts(),
			s.each(func(u usage) float64 { return float64(u.Allocations) }).short(),
			s.over(func(r result) float64 { return r.Usage.HostRSS }).short() + " + " + s.over(func(r result) float64 { return r.Usage.AppRSS }).short(),
			dash(ref.peer), dash(ref.target[store]), dash(ref.bound[store]), dash(ref.aim[store]),
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	for _, s := range list {
		if s.store == store {
			s.notes(w)
		}
	}
}

func (s *summary) name() string {
	text := fmt.Sprintf("**%s** %s", s.workload.id, s.workload.title)
	if s.clients > 1 {
		text += fmt.Sprintf(", %d clients", s.clients)
	}
	return text
}

func (s *summary) ours() string {
	text := fmt.Sprintf("**%s** %s", s.figure(s.workload.headline), s.workload.unit)
	if s.noisy {
		text = "~" + text
	}
	return text
}

func (s *summary) latency() string {
	if p50 := s.figure("p50_ms"); p50.Median > 0 {
		return p50.short() + " / " + s.figure("p95_ms").short()
	}
	return "–"
}

func (s *summary) cpu() string {
	text := s.each(func(u usage) float64 { return u.HostCPU * 1000 }).short() + " + " + s.each(func(u usage) float64 { return u.AppCPU * 1000 }).short()
	if s.store == "minio" {
		text += " + " + s.each(func(u usage) float64 { return u.StoreCPU * 1000 }).short()
	}
	return text
}

// puts is how many PUTs an item took and how long one, beside what one takes alone.
func (s *summary) puts() string {
	text := s.each(func(u usage) float64 { return float64(u.Puts) }).short() + " x " + s.over(func(r result) float64 { return r.Usage.PutMS }).short()
	if alone := s.over(func(r result) float64 { return r.Usage.AloneMS }); alone.Median > 0 {
		text += " (" + alone.short() + ")"
	}
	return text
}

func (s spread) short() string { return number(s.Median) }

func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// notes writes below the table what has no column.
func (s *summary) notes(w io.Writer) {
	switch s.workload.id {
	case "w4":
		fmt.Fprintf(w, "\nw4: all started %s s, all blocked %s s, event to all completed %s s; %s kB for one waiting instance (host %s + app %s); %s %% of a core while blocked.\n",
			s.figure("started_s"), s.figure("blocked_s"), s.figure("completed_s"), s.figure("kb"), s.figure("host_kb").short(),
			s.figure("app_kb").short(), s.figure("idle_cpu_pct").short())
	case "w5":
		fmt.Fprintf(w, "\nw5: first tenth %s ms a step, last tenth %s ms, ratio %s.\n", s.figure("first_ms"), s.figure("last_ms"), s.figure("last_to_first"))
	case "flat":
		fmt.Fprintf(w, "\nflat: %s /s before, %s /s after %s more finished instances.\n", s.figure("before_per_s"), s.figure("after_per_s"), number(float64(s.n)))
	}
}
