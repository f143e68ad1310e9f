// Runs one program in a network namespace of its own, so that the ports on which it insists are nobody else's.
//
//   own-network PORT[,PORT...] PROGRAM [ARGUMENT...]
//
// There is nothing but loopback in there. Each PORT of its 127.0.0.1 leads to the same port of 127.0.0.1 outside: a relay
// stays behind in the outer namespace and holds the listening sockets that were made in the inner one. It has a process
// per connection, which ends when either end does, so that a killed program's calls end with it. The program keeps the
// process id that own-network was started with; own-network is run by leash, which ends the relay with the program.
// A user who may not make network namespaces gets a user namespace around it, as `unshare --map-current-user` makes it.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_PORTS 16

static void die(const char *what) {
  fprintf(stderr, "own-network: %s: %s\n", what, strerror(errno));
  _exit(126);
}

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// --- the relay, outside ---

// Writes block: both ends of every connection here read while they write.
static int pass(int from, int to) {
  static char bytes[65536];
  ssize_t got = read(from, bytes, sizeof bytes);
  for (ssize_t sent = 0, wrote; sent < got; sent += wrote) {
    wrote = write(to, bytes + sent, got - sent);
    if (wrote < 0) return 0;
  }
  return got > 0;
}

static void connect_through(int inside, int port) {
  int outside = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = loopback(port);
  if (outside < 0 || connect(outside, (struct sockaddr *)&address, sizeof address) != 0) {
    // The nearest to "connection refused" for a connection that stands: it is reset.
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(inside, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return;
  }
  struct pollfd ends[] = {{.fd = inside, .events = POLLIN}, {.fd = outside, .events = POLLIN}};
  for (;;) {
    if (poll(ends, 2, -1) < 0) return;
    if (ends[0].revents != 0 && !pass(inside, outside)) return;
    if (ends[1].revents != 0 && !pass(outside, inside)) return;
  }
}

static void relay(const int *listeners, const int *ports, int count) {
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  struct pollfd sources[MOST_PORTS];
  for (int i = 0; i < count; i++) sources[i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
  for (;;) {
    if (poll(sources, count, -1) < 0) die("poll");
    for (int i = 0; i < count; i++) {
      if (sources[i].revents == 0) continue;
      int inside = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC);
      if (inside < 0) continue; // the caller changed its mind
      pid_t child = fork();
      if (child < 0) die("fork");
      if (child == 0) {
        connect_through(inside, ports[i]);
        _exit(0);
      }
      close(inside);
    }
  }
}

// --- the program's side ---

static void write_file(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0 || write(file, text, strlen(text)) < 0) die(path);
  close(file);
}

static void enter_own_network(void) {
  if (unshare(CLONE_NEWNET) == 0) return;
  if (errno != EPERM) die("make a network namespace");
  char map[64];
  unsigned user = geteuid(), group = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) die("make a user and a network namespace");
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1", user, user);
  write_file("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "%u %u 1", group, group);
  write_file("/proc/self/gid_map", map);
}

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int any = socket(AF_INET, SOCK_DGRAM, 0);
  if (any < 0 || ioctl(any, SIOCGIFFLAGS, &request) != 0) die("look at lo");
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  if (ioctl(any, SIOCSIFFLAGS, &request) != 0) die("raise lo");
  close(any);
}

static int listener_on(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = loopback(port);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0) die("bind");
  if (listen(listener, 128) != 0) die("listen");
  return listener;
}

// --- both: the listening sockets go from the one to the other ---

union control {
  struct cmsghdr header;
  char room[CMSG_SPACE(MOST_PORTS * sizeof(int))];
};

static void send_listeners(int to, const int *listeners, int count) {
  union control control;
  char byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){
      .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
  memcpy(CMSG_DATA(header), listeners, count * sizeof(int));
  if (sendmsg(to, &message, 0) != 1) die("hand the sockets over");
}

static void receive_listeners(int from, int *listeners, int count) {
  union control control;
  char byte;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  // Nothing comes when the other side failed, which has said why.
  if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1) _exit(126);
  memcpy(listeners, CMSG_DATA(CMSG_FIRSTHDR(&message)), count * sizeof(int));
}

static int read_ports(char *text, int *ports) {
  int count = 0;
  for (char *word = strtok(text, ","); word != NULL; word = strtok(NULL, ",")) {
    int port = atoi(word);
    if (port < 1 || port > 65535 || count == MOST_PORTS) return 0;
    ports[count++] = port;
  }
  return count;
}

int main(int count, char **arguments) {
  int ports[MOST_PORTS], listeners[MOST_PORTS], ends[2];
  int wanted = count < 3 ? 0 : read_ports(arguments[1], ports);
  if (wanted == 0) {
    fprintf(stderr, "usage: own-network PORT[,PORT...] PROGRAM [ARGUMENT...], at most %d ports\n", MOST_PORTS);
    return 64;
  }
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("socketpair");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    close(ends[0]);
    receive_listeners(ends[1], listeners, wanted);
    relay(listeners, ports, wanted);
  }
  enter_own_network();
  raise_loopback();
  for (int i = 0; i < wanted; i++) listeners[i] = listener_on(ports[i]);
  send_listeners(ends[0], listeners, wanted);
  execvp(arguments[2], arguments + 2);
  die(arguments[2]);
}
