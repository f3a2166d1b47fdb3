// Package journal keeps the numbered objects of one folder in files that are only appended
// to: a write costs one sync of a file that is there already, where an object of its own
// takes a new inode and a new name on disk as well (docs/decisions/0033).
//
// A journal is a row of segments, files named '~' and 20 digits. A segment holds frames,
// and the journal's state is what they say when they are applied in their order:
//
//	create   the object is there, unless the number was taken
//	replace  the object is another one, unless its version is not the one that is named
//	delete   the number is free
//	seal     nothing after it counts: the next segment goes on
//	note     nothing; see below
//
// So the kernel picks the winner of every race: several processes append with O_APPEND, each
// write(2) is one frame, and the first one wins. Nobody holds a lock that a process which is
// stopped or killed would keep. A writer looks at what was appended just before its own frame,
// and so knows whether it won.
//
// What is durable. A write is acknowledged after fdatasync. Until then it can be seen by
// others, but whoever does sees to that sync before relying on it. Each frame says up to
// where its segment was durable when it was written, and marks in the segment's first page say
// it too, some milliseconds after the last write. By that, a stretch without a valid frame is
// told:
//
//   - beyond it: torn by a crash or a power cut, never acknowledged, and void. The next frame
//     declares it void, since later ones will say that all before them is durable. A seal
//     counts only if every torn stretch before it has been declared void.
//   - within it: something that was acknowledged is damaged. The journal answers nothing then,
//     until the file is put back: what is lost may be an object, a newer version, a deletion
//     or who won a race, and a wrong answer about any of these is worse than none.
//   - at the end of the file: perhaps a write under way; it is looked at again later.
//
// A deletion is not synced, and a segment is removed when it is the oldest and nothing in it
// is left. A process that was stopped before it made a segment may make it when others have
// filled and removed it: it is empty, is not the last, and belongs to nothing.
//
// A folder that held such objects as files before there were journals stays as it is: its
// first segment says so. Package file uses journals on Linux alone, whose O_APPEND they are
// tested with. It imports x/sys and the standard library.
package journal
