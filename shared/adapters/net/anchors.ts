// The certificates that a server's own certificate is verified against. As in Go, each given certificate is an anchor, also one that
// another authority has issued, and unreadable parts of a bundle are ignored (crypto/x509, AppendCertsFromPEM).

import { X509Certificate } from 'node:crypto'
import tls from 'node:tls'
import { textsIn } from './certificate-folders.ts'
import type { Trust } from './trust.ts'

// The body is base64, without a dash: so many BEGIN lines without an END line take no more time than one.
const CERTIFICATE = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g

type Bundle = {
  certificates: string[]
  /** 1, 2, …: positions in the bundle of entries that are not certificates. */
  unread: number[]
}

/** `only`: no other authority is trusted. Without a bundle the public authorities are trusted. `cert` and `key`: the client's own. */
export type Anchors = {
  caPem?: string | undefined
  only?: boolean
  cert?: string | Buffer | undefined
  key?: string | Buffer | undefined
}

let publicAuthorities: string[] | undefined

/** All lists: Node's own list lacks authorities that an administrator added to the image (or that SSL_CERT_FILE and SSL_CERT_DIR name). */
function publicOnes(): string[] {
  publicAuthorities ??= [
    ...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system'), ...inFolders()]),
  ]
  return publicAuthorities
}

function inFolders(): string[] {
  return textsIn(process.env['SSL_CERT_DIR'] ?? '').flatMap((text) => readBundle(text).certificates)
}

export function secureContextFor({ caPem, only = false, ...own }: Anchors): tls.SecureContext {
  const given = caPem === undefined ? [] : inForce(readBundle(caPem).certificates)
  const client = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
  const ca = only && caPem !== undefined ? given : [...publicOnes(), ...given]
  return tls.createSecureContext({ ...client, ca, allowPartialTrustChain: true, minVersion: 'TLSv1.2' })
}

/**
 * The trust for a proxy's certificate: the public authorities, and the bundle that is given for the target. The certificate is always
 * verified, whatever is allowed for the target, because the proxy receives a password. Created on first use: most proxies have no TLS.
 */
export function proxyTrust(caPem: string | undefined): () => Trust {
  let trust: Trust | undefined
  return () => {
    trust ??= { secureContext: secureContextFor({ caPem }), verify: true }
    return trust
  }
}

/** OpenSSL uses the first match as anchor, even if it has expired and its successor is in the bundle too. */
function inForce(certificates: string[]): string[] {
  const nowMs = Date.now()
  const current = certificates.filter((pem) => {
    const { validFromDate, validToDate } = new X509Certificate(pem)
    return validFromDate.getTime() <= nowMs && nowMs <= validToDate.getTime()
  })
  // If none is left, the handshake reports that the certificate has expired.
  return current.length > 0 ? current : certificates
}

export function readBundle(pem: string): Bundle {
  const bundle: Bundle = { certificates: [], unread: [] }
  for (const [index, [, body = '']] of [...pem.matchAll(CERTIFICATE)].entries()) {
    const certificate = certificateOf(body)
    if (certificate === undefined) bundle.unread.push(index + 1)
    else bundle.certificates.push(certificate)
  }
  return bundle
}

/** OpenSSL would silently skip certificates that it cannot read, and take bytes after a certificate for a part of it. */
function certificateOf(body: string): string | undefined {
  const base64 = body.replaceAll(/\s/g, '')
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  try {
    const der = Buffer.from(base64, 'base64')
    const certificate = new X509Certificate(der)
    return certificate.raw.length === der.length ? certificate.toString() : undefined
  } catch {
    return undefined
  }
}
