package main

// reference is what a workload is to be compared with, as text for the report. The
// figures are those of the peers' benchmark of 22 November 2026 on the project's kind of
// machine (2 cores, ext4 on a virtual disk, Go 1.26.8): Temporal 1.32.2, Restate
// 1.7.12, DBOS 1.8.0 on Postgres 15, durabletask-go, go-workflows. The peers' workers
// ran in the harness process; ours is a process of its own. The bound is a skeleton of
// our shape without the engine's meaning.
type reference struct {
	peer   string
	target map[string]string // of the first milestone, by store
	bound  map[string]string
	aim    map[string]string
}

func references() map[string]reference {
	by := func(file, minio string) map[string]string { return map[string]string{"file": file, "minio": minio} }
	loop := reference{
		peer:   "1,160 (Restate, in process), 437 (Restate calls)",
		target: by("2,500", "1,500"), bound: by("8,100-9,200", "5,700"), aim: by("4,500", "3,000"),
	}
	return map[string]reference{
		"w1a":     {peer: "3.1 (DBOS, in process), 18.6 (Restate calls)", target: by("5", ""), bound: by("3.1-3.6", "7.7"), aim: by("3.8", "8.5")},
		"w1b":     loop,
		"w1c-64":  loop,
		"w1c-256": {bound: by("14,100", "10,000"), aim: by("7,000", "5,000")},
		"w2-1000": {peer: "0.64 (Restate calls)", target: by("0.1", ""), bound: by("0.009", "0.013"), aim: by("0.03", "0.04")},
		"w2-10000": {
			peer: "5.5 (Restate calls)", bound: by("0.07", "0.064"), aim: by("0.25", "0.3"),
		},
		"w3-100":  {peer: "0.14 (Restate, in process)", bound: by("0.010", "0.015"), aim: by("0.03", "0.05")},
		"w3-1000": {peer: "0.98 (Restate, in process)", target: by("0.4", ""), bound: by("0.06", "0.07"), aim: by("0.2", "0.25")},
		"w4":      {peer: "8.5 (DBOS)", aim: by("1.5", "2")},
		"w5":      {peer: "1.4 (DBOS, in process), 10.3 (Restate calls)", target: by("3", ""), bound: by("1.8-2.0", "4.1"), aim: by("2.2", "4.8")},
		"flat":    {peer: "0.53 after 4,000 (durabletask-go)", aim: by("1", "1")},
		// 100,000 live instances of one partition.
		"recovery": {target: by("5", "5"), aim: by("1", "2")},
	}
}
