/* In a file of its own so that the call goes through the dynamic linker, as calls inside libssl do. */
#include "tls.h"

int standin_tls_sees_itself(void) { return OpenSSL_version_num() == STANDIN_TLS_VERSION; }
