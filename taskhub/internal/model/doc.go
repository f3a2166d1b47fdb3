// Package model is the ownership protocol of a partition as a small state machine, and
// a search through all its states within bounds: two owners, one log, one root,
// checkpoints, deletion and ambiguous writes (E§C3, E§C4, E§C9). Nothing that is shipped
// imports it. The simulator (package sim) runs the real code along random ways; the model
// runs a sketch of it along all ways, and tells the shortest to a violation.
//
// Every action is one atomic effect in the bucket or one step of a host, named after the
// function it stands for:
//
//	action                            code
//	claim: reads root                 partition.Config.claim: ReadRoot, Session.Await
//	Update: root is replaced, ...     lease.Update, from claim, checkpoints.publish, release
//	restore: reads file               partition.replay.restore, recovery.rebuild, Config.confirmCorrupt
//	Tail, apply: reads slot           commitlog.Log.Tail, partition.replay.apply
//	writeEpochRecord                  partition.recovery.writeEpochRecord
//	confirmOwner, serves              partition.Config.confirmOwner, end of Open
//	maybeCommit                       Partition.maybeCommit, the first Await of write
//	Append: signs and sends           commitlog.Log.Append: Store.Create
//	Append: no answer, checked again  commitlog.Log.Append: the next attempt
//	inspect: reads slot               commitlog.Log.inspect, the switch in Partition.write
//	Append: lease checked, done       the last Await of Append, Partition.committed
//	take: Upload                      checkpoints.take, checkpoint.Publisher.Upload
//	published, sweep                  garbage.published, garbage.sweep
//	remove                            garbage.collect, garbage.remove
//	release                           checkpoints.release; Partition.Read refuses from here on
//	ErrFenced, ErrLost, Abandon       Partition.fail; what is under way may come late
//	is frozen for its lease, evicted  lease.Observer.Gone
//	lease.Open                        a new session of a host whose last one has ended
//
// Time is what the order of steps leaves of it. A host is frozen wherever it does not move
// while others do. A lease has run out when the session is evicted, never later, since
// holder and observer both count so (lease.Session.Alive); between a check and the request
// that was checked for it can go at any moment. A signature's life is 15 minutes and the
// grace 20, so with grace nothing is deleted while a PUT is on its way. What is signed
// after a freeze may still arrive after the deletion.
//
// Left out, or simpler than the code: one checkpoint is one file, and no two share one; the
// PUT of a file is not in doubt (its name has one content ever); slots are deleted after
// the grace from the publication that made them needless, not after the next one, which
// allows more than the code does; a recovery reads slots one by one, not listings; payload
// objects; messages; clocks that lie (the jump check of lease.Session); a root that is
// damaged; requests that are repeated under one id.
package model
