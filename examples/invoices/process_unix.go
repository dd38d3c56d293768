//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// freeze stops a process at once, as a long pause of its machine would. It does not notice.
func freeze(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// thaw lets a frozen process go on.
func thaw(p *os.Process) error { return p.Signal(syscall.SIGCONT) }

// ownGroup puts the process into a process group of its own. Ctrl-C then reaches the fleet alone, which
// ends its workers. And if the fleet dies while a worker is frozen, the system wakes that worker and
// hangs up on it, as it does with stopped processes that lose their parent.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
