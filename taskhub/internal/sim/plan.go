package sim

import (
	"math/rand/v2"
	"time"

	"github.com/durafunc/durafunc/taskhub/partition"
	"github.com/durafunc/durafunc/taskhub/storage/faulty"
)

// Plan is what a seed plays: sizes, and which kinds of faults happen how often. Every
// seed switches them on and off, since faults of one kind can hide those of another
// (swarm testing).
type Plan struct {
	Hosts, Partitions int
	Lease             time.Duration
	CheckpointRecords int // 0: the default
	MaxCached         int // 0: the default
	Limits            partition.Limits
	Skew              time.Duration
	Clients           int
	Rounds            int           // per client
	Pause             time.Duration // between a client's rounds, at most
	Mischief          Mischief
	Weather           Weather // outside of storms
	Net               NetWeather
	// Stormy is how long faults go on. Then everything heals.
	Stormy time.Duration
	// Mean times between the troubles of the hosts and the bucket; 0: never.
	Crashes, Freezes, Stops, Outages, Throttles, ClockSteps, Cuts, Denials, FullDisks, Rots time.Duration
	// DiskFails is the share of a host's operations on its disk that fail.
	DiskFails float64
	// Leaps lets clocks step up to an hour away from the world's, else by 10 s at a time.
	Leaps bool
	// Drift lets clocks go up to 1 % too fast or too slow.
	Drift bool
	// Misfits: Mischief.Misfit is not 0 while the storm lasts.
	Misfits bool
	// Writes is how often a register is written, beyond three. OnlyRegisters lets clients do
	// nothing else.
	Writes        int
	OnlyRegisters bool
	// LongFreezes lets freezes last up to two hours, else up to a few leases.
	LongFreezes bool
	// Expiry: see Bucket.
	Expiry bool
	// StopMono lets some freezes stop the boot clock as well.
	StopMono bool
	// OneWay lets some cuts of the network be in one direction only.
	OneWay bool
	// HibernateAfter: see taskhub.Options. Naps is how long at most a client leaves the hub
	// alone after it has asked for something at a later time.
	HibernateAfter, Naps time.Duration
	// FreshAddresses: see Network.
	FreshAddresses bool
	// Spread lets hosts have different functions. Slots is how many items of a kind a host
	// runs at once; 0: no bound. Linger is how long activities take at most.
	Spread bool
	Slots  int
	Linger time.Duration
	// Joins is when the last host starts at most; 0: after 2 s.
	Joins time.Duration
	// Strict: nothing fails, and so no activity may run twice.
	Strict bool
}

// Calm is a plan without any fault.
func Calm(rng *rand.Rand) *Plan {
	return &Plan{
		Hosts: 1, Partitions: 1 + rng.IntN(4), Lease: 15 * time.Second,
		Clients: 3 + rng.IntN(4), Rounds: 2, Pause: 2 * time.Second, Naps: 2 * time.Minute,
	}
}

// Moves is a plan in which nothing fails, but hosts come and go in good order, so that
// partitions move while activities run.
func Moves(rng *rand.Rand) *Plan {
	return &Plan{
		Hosts: 2 + rng.IntN(3), Partitions: 1 + rng.IntN(5), Lease: 3*time.Second + time.Duration(rng.IntN(8))*time.Second,
		Clients: 3 + rng.IntN(4), Rounds: 4, Pause: 30 * time.Second, Stormy: 3 * time.Minute, Stops: 20 * time.Second,
		Spread: rng.IntN(2) == 0, Slots: rng.IntN(2) * (2 + rng.IntN(6)), Linger: time.Duration(1+rng.IntN(20)) * time.Second,
		Net: NetWeather{Even: true}, Joins: time.Minute, Strict: true, FreshAddresses: rng.IntN(2) == 0,
	}
}

// Idle is a plan without any fault in which the hub has little to do.
func Idle(rng *rand.Rand) *Plan {
	p := Calm(rng)
	p.Hosts = 1 + rng.IntN(3)
	p.idle(rng)
	p.Stormy = 0
	return p
}

// idle lets hours pass in which nothing but a timer may happen. Clocks agree, so that it
// can be told whether timers fire on time.
func (p *Plan) idle(rng *rand.Rand) {
	p.HibernateAfter = 5*time.Second + time.Duration(rng.IntN(60))*time.Second
	p.Naps = 10*time.Minute + time.Duration(rng.IntN(180))*time.Minute
	p.Pause = time.Duration(1+rng.IntN(30)) * time.Minute
	p.Clients, p.Rounds = 1+rng.IntN(3), 2+rng.IntN(3)
	p.Skew, p.ClockSteps = 0, 0
}

// Draw makes the plan of a seed.
func Draw(rng *rand.Rand) *Plan {
	some := func(p float64) bool { return rng.Float64() < p }
	rate := func(p, most float64) float64 {
		if !some(p) {
			return 0
		}
		return most * rng.Float64()
	}
	mean := func(p float64, of time.Duration) time.Duration {
		if !some(p) {
			return 0
		}
		return of/4 + time.Duration(rng.Int64N(int64(of)))
	}
	p := &Plan{
		Hosts: 1 + rng.IntN(3), Partitions: 1 + rng.IntN(4), Lease: 3*time.Second + time.Duration(rng.IntN(13))*time.Second,
		Clients: 2 + rng.IntN(4), Rounds: 2 + rng.IntN(3), Pause: time.Minute,
		Stormy: 3*time.Minute + time.Duration(rng.IntN(5))*time.Minute, Writes: 4,
	}
	if some(0.8) {
		p.CheckpointRecords = 3 + rng.IntN(40)
	}
	if some(0.4) {
		p.MaxCached = 1 + rng.IntN(10)
	}
	if some(0.3) {
		p.Skew = time.Duration(rng.IntN(600)) * time.Second
	}
	if some(0.3) {
		p.Limits.OutboxMessages = 1 + rng.IntN(5)
	}
	if some(0.2) {
		p.Limits.IntakeBytes, p.Limits.IntakeReplies = 300+rng.IntN(3000), 1+rng.IntN(4)
	}
	p.Mischief = Mischief{Abandon: rate(0.4, 0.1), Forget: rate(0.5, 0.3), Twice: rate(0.4, 0.1), Stray: rate(0.4, 0.1), Slow: rate(0.3, 0.03)}
	p.Weather = Weather{
		Writes: faulty.Rates{FailBefore: rate(0.5, 0.1), FailAfter: rate(0.5, 0.1), FailLate: rate(0.5, 0.1), Hang: rate(0.4, 0.05)},
		Reads:  faulty.Rates{FailBefore: rate(0.4, 0.1), FailAfter: rate(0.4, 0.1), Hang: rate(0.4, 0.05)},
		Slow:   rate(0.3, 10), Held: rate(0.5, 0.5), SignsLate: some(0.5), Traps: rate(0.2, 0.1),
	}
	p.Crashes = mean(0.6, time.Minute)
	p.Freezes = mean(0.5, 2*time.Minute)
	p.Stops = mean(0.3, 3*time.Minute)
	p.Outages = mean(0.3, 3*time.Minute)
	p.Throttles = mean(0.3, 2*time.Minute)
	p.ClockSteps = mean(0.2, 3*time.Minute)
	p.StopMono = some(0.3)
	p.Net = NetWeather{
		Lost: rate(0.4, 0.2), Twice: rate(0.4, 0.2), Swapped: rate(0.3, 0.3),
		RequestLost: rate(0.4, 0.1), RequestTwice: rate(0.3, 0.1), AnswerLost: rate(0.4, 0.1), Slow: rate(0.3, 50),
	}
	p.Cuts = mean(0.4, 2*time.Minute)
	p.OneWay = some(0.5)
	p.FreshAddresses = some(0.5)
	p.more(some, rate, mean)
	p.Naps, p.HibernateAfter = 2*time.Minute, 2*time.Second+time.Duration(rng.IntN(60))*time.Second
	if some(0.2) {
		p.HibernateAfter = -1
	}
	if some(0.2) {
		// A long quiet life: long freezes, and enough checkpoints for the log to be
		// trimmed, since nothing is deleted before 20 minutes.
		p.Lease, p.Stormy, p.LongFreezes = 20*time.Second, 2*time.Hour+time.Duration(rng.IntN(120))*time.Minute, true
		p.Pause = 20 * time.Minute
		p.CheckpointRecords = 1 + rng.IntN(5)
		p.Crashes, p.Outages, p.Throttles, p.Stops, p.ClockSteps = mean(0.5, 40*time.Minute), mean(0.2, time.Hour), mean(0.2, time.Hour), mean(0.3, time.Hour), mean(0.2, time.Hour)
		p.Freezes = mean(0.9, 40*time.Minute)
		p.Cuts = mean(0.4, 40*time.Minute)
		p.Rounds = 3 + rng.IntN(4)
		if some(0.5) {
			p.HibernateAfter = -1 // an owner that sleeps is no zombie
		}
	} else if some(0.15) {
		p.idle(rng)
	}
	p.Spread = some(0.4)
	if some(0.5) {
		p.Slots = 1 + rng.IntN(6)
	}
	if some(0.4) {
		p.Linger = time.Duration(1+rng.IntN(20)) * time.Second
	}
	if some(0.1) {
		return Moves(rng)
	}
	switch draw := rng.Float64(); {
	case draw < 0.1:
		p.zombies(rng)
	case draw < 0.16:
		p.releases(rng)
	default:
		p.Expiry = some(0.5)
	}
	return p
}

// more switches on what else can go wrong with the bucket, the hosts and the apps.
func (p *Plan) more(some func(float64) bool, rate func(p, most float64) float64, mean func(float64, time.Duration) time.Duration) {
	p.Weather.SlowAnswers, p.Weather.Damaged = rate(0.3, 0.1), rate(0.3, 0.1)
	if p.Weather.Damaged > 0.05 {
		p.Rots = time.Minute
	}
	if some(0.3) {
		p.Weather.SlowLists = 5 * time.Second
	}
	p.Denials, p.FullDisks, p.DiskFails = mean(0.2, 4*time.Minute), mean(0.15, 3*time.Minute), rate(0.2, 0.05)
	p.Drift = some(0.2)
	p.Mischief.Hang, p.Mischief.Misfit = rate(0.2, 0.02), rate(0.2, 0.1)
	p.Misfits = p.Mischief.Misfit > 0
	// After a leap a client cannot tell whether it was itself that suspended an instance.
	p.Leaps = some(0.5) && !p.Misfits
}

// zombies makes a plan in which hosts freeze with requests that have not left yet, long
// enough for others to take over, checkpoint and trim, and then let them go. The store
// does not look at what has expired: signatures alone would stop them.
func (p *Plan) zombies(rng *rand.Rand) {
	p.Hosts, p.Partitions = 2+rng.IntN(2), 1
	p.Lease, p.Stormy = 20*time.Second, 3*time.Hour
	p.LongFreezes, p.Freezes, p.Expiry, p.Strict = true, 0, false, false
	p.Crashes, p.Stops, p.Outages = 0, 0, 0
	p.Clients, p.Rounds, p.Pause, p.HibernateAfter = 6, 10, 20*time.Minute, -1
	p.CheckpointRecords = 1 + rng.IntN(3)
	p.Weather.Held, p.Weather.SignsLate, p.Weather.Traps = 0.9, true, 0.05
}

// releases makes a plan in which partitions change hands in order, again and again, while
// the answers to what their owners write come late, and clients compare what they read
// through all hosts.
func (p *Plan) releases(rng *rand.Rand) {
	p.Hosts, p.Partitions = 2+rng.IntN(2), 1+rng.IntN(2)
	p.Stormy, p.HibernateAfter = 3*time.Minute, -1
	p.Crashes, p.Freezes, p.Outages, p.Throttles, p.Denials, p.Cuts, p.FullDisks, p.DiskFails = 0, 0, 0, 0, 0, 0, 0, 0
	p.Stops, p.LongFreezes, p.Spread = 15*time.Second, false, false
	p.Weather.Writes, p.Weather.SlowAnswers, p.Weather.SlowRoots = faulty.Rates{}, 0, 0.5
	p.Clients, p.Rounds, p.Pause, p.Writes, p.OnlyRegisters = 3, 2, 5*time.Second, 20, true
}

// Releases draws a plan of that kind whatever the seed.
func Releases(rng *rand.Rand) *Plan {
	p := Draw(rng)
	p.releases(rng)
	return p
}

// Zombies draws a plan of that kind whatever the seed.
func Zombies(rng *rand.Rand) *Plan {
	p := Draw(rng)
	p.zombies(rng)
	return p
}
