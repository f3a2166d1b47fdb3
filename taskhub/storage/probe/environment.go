package probe

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/durafunc/durafunc/taskhub/storage"
)

// What some stores can tell about themselves beyond the contract. Wrappers have Unwrap.
type (
	// clocked is a store with a clock of its own, see s3.Store.
	clocked interface {
		ClockOffset() (low, high time.Duration, ok bool)
	}
	// remote is a store that is reached by signed requests, see s3.Store.
	remote interface {
		SendExpired(ctx context.Context, key string, body []byte) error
		SendDamaged(ctx context.Context, key string, body []byte) error
		ServerName() string
	}
	// local is a store on a disk of this machine, or what looks like one, see file.Store.
	local interface {
		FileSystem() string
		MeasureSync(n int) ([]time.Duration, error)
	}
)

// as finds, below the wrappers of a store, one that can tell what T does.
func as[T any](store storage.Store) (T, bool) {
	for {
		if t, ok := store.(T); ok {
			return t, true
		}
		wrapper, ok := store.(interface{ Unwrap() storage.Store })
		if !ok {
			var none T
			return none, false
		}
		store = wrapper.Unwrap()
	}
}

// rawKey is a key as the innermost store sees it. Wrappers that put a prefix before keys
// tell it; a probe that goes around them must clean up through them.
func rawKey(store storage.Store, key string) string {
	for {
		if w, ok := store.(interface{ Key(string) string }); ok {
			key = w.Key(key)
		}
		wrapper, ok := store.(interface{ Unwrap() storage.Store })
		if !ok {
			return key
		}
		store = wrapper.Unwrap()
	}
}

const graceAlone = "Nothing has to be done: a host deletes nothing before it has been needless for 20 minutes, so what a frozen host sends late finds its place taken. " +
	"With this store that grace carries the argument alone."

// expiry checks whether a write whose signature has expired is refused (E§C3).
func (d *doctor) expiry(ctx context.Context) Finding {
	const check = "expiry"
	in, key := storage.Until(ctx, time.Now().Add(time.Minute)), d.use("in-time")
	if _, err := d.settle(in, key, "in-time", d.store.Create); err != nil {
		f := judge(check, "", err)
		if errors.Is(err, storage.ErrDenied) {
			f.Advice = "Every write of a partition is signed in its query (presigned): allow that in the policies of the bucket and in what stands before it."
		}
		return f
	}
	late := d.use("too-late")
	if s, ok := as[remote](d.store); ok {
		switch err := s.SendExpired(ctx, rawKey(d.store, late), d.body("too-late")); {
		case err == nil:
			return found(check, Warn, graceAlone, "the store takes writes whose signature has expired")
		case errors.Is(err, storage.ErrExpired):
			return found(check, OK, "", "writes whose signature has expired are refused by the store")
		case errors.Is(err, storage.ErrDenied):
			return found(check, OK, "", "writes whose signature has expired are refused by the store, which does not say why (%v)", err)
		default:
			return judge(check, "", err)
		}
	}
	switch _, err := d.store.Create(storage.Until(ctx, time.Now().Add(-time.Second)), late, d.body("too-late")); {
	case err == nil:
		return found(check, Warn, graceAlone, "the store takes writes that come after their time")
	case errors.Is(err, storage.ErrExpired):
		return found(check, OK, "", "writes that come after their time are refused where they would happen, by this machine's clock")
	default:
		return judge(check, "", err)
	}
}

// integrity checks that a body is compared with its checksum; only stores that are reached
// over a network have to.
func (d *doctor) integrity(ctx context.Context) (Finding, bool) {
	s, ok := as[remote](d.store)
	if !ok {
		return Finding{}, false
	}
	if err := s.SendDamaged(ctx, rawKey(d.store, d.use("damaged")), d.body("damaged")); err == nil {
		return found("integrity", Warn, "Reach the store over https, which protects the bytes on their way.",
			"the store does not compare a body with its CRC-32C"), true
	}
	return found("integrity", OK, "", "a body that was damaged on its way is refused"), true
}

// Bounds of what the clocks of this machine and the store may be apart. Beyond the second
// one the store refuses signatures altogether.
const (
	clockWarn = 2 * time.Second
	clockFail = 15 * time.Minute
)

func (d *doctor) clock() (Finding, bool) {
	s, ok := as[clocked](d.store)
	if !ok {
		return Finding{}, false
	}
	low, high, known := s.ClockOffset()
	if !known {
		return found("clock", Warn, "Make sure that the clocks of this machine and the store agree.", "the store's answers do not tell its time"), true
	}
	return clockFinding(low, high), true
}

func clockFinding(low, high time.Duration) Finding {
	const advice = "Let both machines keep their clocks with NTP (timedatectl set-ntp true)."
	apart, sure := (low+high)/2, max(low, -high, 0) // the least that they are apart
	level := OK
	switch {
	case sure > clockFail:
		return found("clock", Fail, advice, "the store's clock is %s from this machine's: it refuses signatures that are more than 15 minutes off", signed(apart))
	case sure > clockWarn:
		level = Warn
	}
	f := found("clock", level, "", "the store's clock is %s from this machine's, give or take %s", signed(apart), brief((high-low)/2))
	if level != OK {
		f.Advice = advice
	}
	return f
}

func signed(d time.Duration) string {
	if d > 0 {
		return "+" + d.Round(time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// quickSync is a median sync that no disk and no SSD manages.
const quickSync = 20 * time.Microsecond

// durability says what is known of what survives a power cut, which nothing can try out.
func (d *doctor) durability() Finding {
	const check = "durability"
	if s, ok := as[local](d.store); ok {
		return disk(s)
	}
	s, ok := as[remote](d.store)
	switch {
	case !ok:
		return found(check, Warn, "Use type file or s3 for what must outlive the host.", "the store is in memory and gone when the host ends")
	case s.ServerName() == "MinIO":
		return found(check, Warn,
			"For production start MinIO with MINIO_FS_OSYNC=on, or give its drives a power-loss protected cache; and let it have several drives, or nodes, "+
				"since a hub on a single drive goes with that drive.",
			"cannot be seen from here: MinIO syncs the bytes of an object, but by default not the name under which it appears, so a power cut can take back the last writes")
	case strings.HasPrefix(s.ServerName(), "AmazonS3"):
		return found(check, OK, "", "Amazon S3 answers when a write is stored in several places")
	default:
		return found(check, OK, "Make sure that it answers only when a write is on stable storage.", "cannot be seen from here (the store calls itself %q)", s.ServerName())
	}
}

// disk looks at the file system of a store in a directory.
func disk(s local) Finding {
	const check = "durability"
	kind := s.FileSystem()
	times, err := s.MeasureSync(samples)
	if err != nil {
		return found(check, Fail, "Check that the directory can be written and the disk is not full.", "a sync fails: %v", err)
	}
	sync := median(times)
	name := kind
	if name == "" {
		name = "unknown"
	}
	level, advice := OK, ""
	switch {
	case isNetworked(kind):
		level, advice = Warn, "Use a local disk: what sync, link and flock promise over a network depends on its server and mount options. For several machines use type s3."
	case kind == "tmpfs" || kind == "ramfs":
		level, advice = Warn, "Use a directory on a disk: this one is in memory and gone after a restart."
	case kind == "overlay":
		level, advice = Warn, "Mount a volume for it: this directory goes with the container."
	case sync < quickSync:
		level, advice = Warn, "No disk is that quick: the disk, or the virtual machine below, may not honour syncs, and a power cut take back what was acknowledged. A cache with a battery is fine."
	}
	return found(check, level, advice, "file system %s, a sync takes %s (median of %d)", name, brief(sync), samples)
}

// isNetworked reports whether a file system lies on another machine.
func isNetworked(kind string) bool {
	if kind == "fuseblk" { // a disk with a driver outside of the kernel
		return false
	}
	for _, prefix := range []string{"nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "fuse", "afs", "lustre", "beegfs", "gpfs", "virtiofs"} {
		if strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return false
}
