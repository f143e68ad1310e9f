// How a TLS connection verifies the other side: the same for the store, vCenter, the API server and the proxies before them.

import { isIP } from 'node:net'
import type { ConnectionOptions, SecureContext } from 'node:tls'
import { checkIdentity } from './identity.ts'

export type Trust = {
  secureContext: SecureContext
  /** false: only if the user has explicitly configured it. */
  verify: boolean
}

export function tlsOptions(host: string, { secureContext, verify }: Trust): ConnectionOptions {
  return {
    secureContext,
    rejectUnauthorized: verify,
    checkServerIdentity: (_, certificate) => checkIdentity(host, certificate),
    // SNI must not contain an address, nor a name with a dot at its end (RFC 6066).
    ...(isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {}),
  }
}

/** OpenSSL's verification codes as Node names them (node: tls, "X509 certificate error codes") and the check of the name. */
const DISTRUST =
  /^(UNABLE_TO_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_|PATH_LENGTH_|ERROR_IN_C|HOSTNAME_MISMATCH|ERR_TLS_CERT_|UNSPECIFIED$)/

/** `UNSPECIFIED` can be about a certificate, too: a key that is too short, a name that its authority may not certify. */
export function isDistrust(error: Error): boolean {
  return 'code' in error && DISTRUST.test(String(error.code))
}
