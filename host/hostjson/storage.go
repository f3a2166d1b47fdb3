package hostjson

import (
	"net/url"
	"strings"
)

// s3Keys have a meaning for type s3 only.
var s3Keys = []string{"bucket", "prefix", "endpoint", "region", "forcePathStyle"}

func (r reader) storage(root string) Storage {
	const p = pathStorage + "."
	s := Storage{
		Type:           StoreType(r.choice(p+"type", string(StoreFile), string(StoreS3), string(StoreMemory))),
		Bucket:         r.text(p+"bucket", ""),
		Prefix:         strings.Trim(r.text(p+"prefix", ""), "/"),
		Endpoint:       r.text(p+"endpoint", ""),
		Region:         r.text(p+"region", ""),
		ForcePathStyle: r.boolean(p+"forcePathStyle", false),
		LeaseDuration:  r.duration(p+"leaseDuration", DefaultLeaseDuration, MinLeaseDuration),
	}
	if path := r.text(p+"path", DefaultStorePath); path == "" {
		r.bad(p+"path", "must not be empty")
	} else if s.Type == StoreFile {
		s.Path = under(root, path)
	}
	s.PartitionCount = r.partitions(p+"partitionCount", s.Type)
	s.Leases = r.leases()
	r.checkStoreKeys(s)
	return s
}

func (r reader) leases() Leases {
	const p = pathLeases + "."
	l := Leases{
		Type:     LeasesType(r.choice(p+"type", string(LeasesObjects), string(LeasesDynamoDB))),
		Table:    r.text(p+"table", ""),
		Endpoint: r.text(p+"endpoint", ""),
		Region:   r.text(p+"region", ""),
	}
	if l.Type == LeasesDynamoDB && l.Table == "" {
		r.bad(p+"table", "is missing; type dynamodb needs it")
	}
	if l.Type == LeasesDynamoDB {
		r.checkURL(p+"endpoint", l.Endpoint)
	}
	return l
}

// checkStoreKeys refuses a configuration that may mean another store than the one
// it selects. A type that is spelled out is taken at its word, so that one
// environment variable can switch a whole file to memory.
func (r reader) checkStoreKeys(s Storage) {
	if s.Type == StoreS3 {
		if s.Bucket == "" {
			r.bad(pathStorage+".bucket", "is missing; type s3 needs it")
		}
		r.checkS3(s)
		if n := r.root.find(pathStorage + ".path"); n != nil {
			r.note(n.where, pathStorage+".path", "has no effect with type s3")
		}
		return
	}
	explicit := r.root.find(pathStorage+".type") != nil
	for _, key := range s3Keys {
		path := pathStorage + "." + key
		n := r.root.find(path)
		switch {
		case n == nil:
		case explicit:
			r.note(n.where, path, "has no effect with type %s", s.Type)
		default:
			r.errorf(n.where, path, `needs "type": "s3" beside it; without a type the store is a directory`)
		}
	}
}

func (r reader) checkS3(s Storage) {
	const p = pathStorage + "."
	if strings.ContainsAny(s.Bucket, "/ \t\r\n") {
		r.bad(p+"bucket", "%q must be a bucket's name alone; a path goes into prefix", clip(s.Bucket))
	}
	for seg := range strings.SplitSeq(s.Prefix, "/") {
		if s.Prefix != "" && (seg == "" || seg == "." || seg == ".." || !plain(seg)) {
			r.bad(p+"prefix", "%q must be '/'-separated segments of letters, digits, '.', '_', '-' and '='", clip(s.Prefix))
			break
		}
	}
	r.checkURL(p+"endpoint", s.Endpoint)
}

func (r reader) checkURL(path, text string) {
	if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		r.bad(path, "%q must be a URL such as http://localhost:9000", clip(text))
	}
}

// plain reports whether every store takes s as a segment of a key (storage.CheckKey).
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("._-=", c) >= 0 {
			continue
		}
		return false
	}
	return true
}

// partitions accepts what Azure does, 1 to 16, and two larger powers of two.
func (r reader) partitions(path string, t StoreType) int {
	def := DefaultPartitionsFile
	if t == StoreS3 {
		def = DefaultPartitionsS3
	}
	n := int(r.integer(path, int64(def), 1, 64))
	if n > 16 && n != 32 && n != 64 {
		r.bad(path, "%d must be 1 to 16, 32 or 64", n)
	}
	return n
}
