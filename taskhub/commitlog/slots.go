//go:build !planted

package commitlog

import "github.com/durafunc/durafunc/taskhub/verdict"

// slots is where Append creates records: the store.
func (l *Log) slots() verdict.Creator { return l.Store }
