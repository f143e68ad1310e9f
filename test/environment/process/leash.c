// Runs one program so that nothing of it outlives the process that started it.
//
//   leash PROGRAM [ARGUMENT...]
//
// Standard input is the leash: the starter holds the other end. Every byte that arrives is the number of a signal to
// send to the program; end of file means that the starter is gone, however it died, and then everything here is killed.
// leash is also a subreaper: what the program leaves behind, daemons included, becomes its child and is killed with it,
// as a container's processes die with the container. It lives in a session of its own, so that Ctrl-C in a terminal
// reaches the starter alone, which then stops everything in order.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what) {
  fprintf(stderr, "leash: %s: %s\n", what, strerror(errno));
  _exit(126);
}

// The parent's id is the second field behind the program's name, which may hold spaces and brackets itself.
static pid_t parent_of(const char *pid) {
  char path[300], line[512];
  snprintf(path, sizeof path, "/proc/%s/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return -1;
  size_t got = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[got] = '\0';
  char *close = strrchr(line, ')');
  int parent;
  return close != NULL && sscanf(close + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

static void kill_children(void) {
  DIR *proc = opendir("/proc");
  if (proc == NULL) die("open /proc");
  pid_t self = getpid();
  for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    if (parent_of(entry->d_name) == self) kill(atoi(entry->d_name), SIGKILL);
  }
  closedir(proc);
}

// A killed child hands its own children up to us, so this goes round until there is none.
static void kill_everything(void) {
  for (;;) {
    kill_children();
    pid_t ended = waitpid(-1, NULL, 0);
    if (ended < 0 && errno == ECHILD) return;
  }
}

static void run(char **command, pid_t leash) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != leash) _exit(125);
  int null = open("/dev/null", O_RDONLY);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0) die("open /dev/null");
  if (null != STDIN_FILENO) close(null);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execvp(command[0], command);
  die(command[0]);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: leash PROGRAM [ARGUMENT...]\n");
    return 64;
  }
  setsid();
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) die("become subreaper");
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGHUP);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  int signals = signalfd(-1, &watched, SFD_CLOEXEC);
  if (signals < 0) die("signalfd");

  pid_t self = getpid(), child = fork();
  if (child < 0) die("fork");
  if (child == 0) run(arguments + 1, self);

  struct pollfd sources[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
  for (;;) {
    if (poll(sources, 2, -1) < 0 && errno != EINTR) die("poll");
    if (sources[0].revents != 0) {
      unsigned char signal_number;
      ssize_t got = read(STDIN_FILENO, &signal_number, 1);
      if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
        kill_everything();
        return 137;
      }
      if (got == 1) kill(child, signal_number);
    }
    if (sources[1].revents == 0) continue;
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGCHLD) kill(child, (int)info.ssi_signo);
    int status;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended != child) continue;
      kill_everything();
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
}
