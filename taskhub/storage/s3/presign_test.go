package s3

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/durafunc/durafunc/taskhub/storage"
)

func open(t testing.TB, token string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Bucket: "b", Prefix: "pre=fix", Endpoint: "http://127.0.0.1:9", Region: "eu-central-1", ForcePathStyle: true,
		AccessKey: "AKID", SecretKey: "secret", SessionToken: token,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPresignAgreesWithTheSDK compares our signature with that of the SDK's presigner on
// headers that it leaves where they are.
func TestPresignAgreesWithTheSDK(t *testing.T) {
	at := time.Date(2026, 11, 23, 1, 2, 3, 0, time.UTC)
	for _, token := range []string{"", "to/ken=="} {
		s := open(t, token)
		for _, names := range [][]string{{"host"}, {"content-type", "host", "if-match"}, {"content-type", "host", "if-none-match"}} {
			header := http.Header{}
			for _, name := range names {
				if name != "host" {
					header.Set(name, `"value of `+name+`"`)
				}
			}
			newRequest := func() *http.Request {
				return &http.Request{Method: http.MethodPut, URL: s.objectURL("a/b=c"), Host: s.base.Host, Header: header.Clone()}
			}
			ours := newRequest()
			if err := s.presign(t.Context(), ours, names, validity{from: at, whole: 7}); err != nil {
				t.Fatal(err)
			}
			theirs := newRequest()
			theirs.URL.RawQuery = "X-Amz-Expires=" + strconv.Itoa(7)
			creds, err := s.creds.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			signed, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
				PresignHTTP(t.Context(), creds, theirs, unsigned, "s3", s.region, at)
			if err != nil {
				t.Fatal(err)
			}
			want, err := url.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			if got := ours.URL.Query(); got.Encode() != want.Query().Encode() || ours.URL.EscapedPath() != want.EscapedPath() {
				t.Errorf("token %q, headers %q:\n got %s\nwant %s", token, names, ours.URL, want)
			}
		}
	}
}

func TestSigningKeyOfTheDay(t *testing.T) {
	s := open(t, "")
	creds, err := s.creds.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := string(s.keys.get(creds, "20261123", s.region))
	if string(s.keys.get(creds, "20261123", s.region)) != first {
		t.Error("the key changes within a day")
	}
	if string(s.keys.get(creds, "20261124", s.region)) == first {
		t.Error("the key of a day is that of another")
	}
	creds.SecretAccessKey = "rotated"
	if string(s.keys.get(creds, "20261124", s.region)) == first {
		t.Error("the key does not follow the credentials")
	}
}

// TestValidUntil: a signature ends at a whole second, and never after the moment given.
func TestValidUntil(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 700e6, time.UTC)
	for _, tt := range []struct {
		name        string
		left, ahead time.Duration
		from        string // of the store's clock; "": refused
		whole       int
	}{
		{"whole seconds are cut off", 12 * time.Second, 0, "12:00:00", 12},
		{"the rest of a second counts when the date was cut", 1300 * time.Millisecond, 0, "12:00:00", 2},
		{"less than a second", 200 * time.Millisecond, 0, "", 0},
		{"nothing is left", 0, 0, "", 0},
		{"it is over", -time.Hour, 0, "", 0},
		{"over, but within the second of the date", -100 * time.Millisecond, 0, "", 0},
		{"the store is ahead", 12 * time.Second, time.Hour, "13:00:00", 12},
		{"the store is behind", 12 * time.Second, -800 * time.Millisecond, "11:59:59", 12},
		{"longer than S3 allows", 30 * 24 * time.Hour, 0, "12:00:00", 7 * 24 * 3600},
	} {
		v, err := validUntil(now, now.Add(tt.left), tt.ahead)
		if tt.from == "" {
			if !errors.Is(err, storage.ErrExpired) {
				t.Errorf("%s: got %v, %v, want ErrExpired", tt.name, v, err)
			}
			continue
		}
		if err != nil || v.from.Format("15:04:05") != tt.from || v.whole != tt.whole {
			t.Errorf("%s: from %s for %d s, %v; want from %s for %d s", tt.name, v.from.Format("15:04:05"), v.whole, err, tt.from, tt.whole)
		}
		if v.end().After(now.Add(tt.left + tt.ahead)) {
			t.Errorf("%s: good until %v, after the moment given", tt.name, v.end())
		}
	}
}

func TestStoreClock(t *testing.T) {
	base := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return base.Add(d) }
	ms := time.Millisecond
	c := &storeClock{}
	if _, _, known := c.bounds(); known || c.behind() != 0 {
		t.Error("an offset before any answer")
	}
	steps := []struct {
		name            string
		date, sent, got time.Duration
		low, high       time.Duration
	}{
		{"the first answer", 0, 300 * ms, 320 * ms, -320 * ms, 700 * ms},
		{"another phase narrows", 1000 * ms, 1010 * ms, 1030 * ms, -30 * ms, 700 * ms},
		{"and again", 1000 * ms, 1900 * ms, 1950 * ms, -30 * ms, 100 * ms},
		{"a date that was cached for a second widens nothing", 1000 * ms, 2500 * ms, 2510 * ms, -30 * ms, -30 * ms},
		{"the clock was set", 3600 * time.Second, 3000 * ms, 3100 * ms, 3600*time.Second - 3100*ms, 3601*time.Second - 3000*ms},
		{"old bounds are dropped", 3700 * time.Second, 90 * time.Second, 90 * time.Second, 3610 * time.Second, 3611 * time.Second},
		{"our clock was set back", 3800 * time.Second, 10 * time.Second, 10 * time.Second, 3790 * time.Second, 3791 * time.Second},
	}
	for _, s := range steps {
		c.note(at(s.date), at(s.sent), at(s.got))
		if low, high, known := c.bounds(); low != s.low || high != s.high || !known {
			t.Errorf("%s: between %v and %v, want %v and %v", s.name, low, high, s.low, s.high)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	s := open(b, "")
	body := make([]byte, 4<<10)
	b.Run("header", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.signedPut(b.Context(), "p/00/log/00000000000000000001", ifNoneMatch, "*", body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("expiring", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v, err := validUntil(time.Now(), time.Now().Add(time.Minute), 0)
			if err == nil {
				_, err = s.presignedPut(b.Context(), "p/00/log/00000000000000000001", ifNoneMatch, "*", body, v)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
