/* libvddkStandinTls: the dependency in lib64/ that is found only by LD_LIBRARY_PATH, with a symbol that node exports too. */
#include "tls.h"

unsigned long OpenSSL_version_num(void) { return STANDIN_TLS_VERSION; }
