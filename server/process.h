// What graftd asks of the system for its whole process.
#ifndef GRAFT_SERVER_PROCESS_H_
#define GRAFT_SERVER_PROCESS_H_

namespace graft {

// Once, before there are threads; workers inherit it. A write to a pipe or socket whose reader has gone fails and
// doesn't end the process; files are this user's only; and as many may be open as the system lets us have, for each
// connection is one: the habitual limit of 1,024 is for programs that call select.
void PrepareProcess();

}  // namespace graft

#endif  // GRAFT_SERVER_PROCESS_H_
