// Whether a certificate is valid for the requested server, by Go's rules (crypto/x509, VerifyHostname): a name or an address
// in subjectAltName, never the common name; `*` for one whole label at the front, also before a private top-level domain.

import { isIP, SocketAddress } from 'node:net'
import type { PeerCertificate } from 'node:tls'

/** For the option `checkServerIdentity` of Node's tls. */
export function checkIdentity(host: string, { subjectaltname = '' }: Pick<PeerCertificate, 'subjectaltname'>) {
  const names = namesIn(subjectaltname)
  if (names?.some((name) => isFor(name, host)) === true) return undefined
  const why =
    names === undefined || names.length === 0
      ? 'it has no names in subjectAltName; a common name alone does not count'
      : `it is for ${names.map(({ value }) => value).join(', ')}`
  return Object.assign(new Error(`the certificate is not for ${host}: ${why}`), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  })
}

type Name = { kind: 'DNS' | 'IP Address'; value: string }

/** `DNS:a.example, IP Address:10.0.0.1, DNS:"a, b"`: Node quotes a name that could be taken for more than one. */
const NAME = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/** undefined: the text could not be parsed completely. */
function namesIn(text: string): Name[] | undefined {
  const names: Name[] = []
  for (let at = 0; at < text.length; at = NAME.lastIndex) {
    NAME.lastIndex = at
    const [, kind, quoted = ''] = NAME.exec(text) ?? []
    if (kind === undefined) return undefined
    if (kind === 'DNS' || kind === 'IP Address') names.push({ kind, value: unquoted(quoted) })
  }
  return names
}

/** A text that Node did not produce matches nothing. */
function unquoted(text: string): string {
  if (!text.startsWith('"')) return text
  try {
    return String(JSON.parse(text))
  } catch {
    return ''
  }
}

function isFor({ kind, value }: Name, host: string): boolean {
  const isAddress = isIP(host) !== 0
  if (isAddress !== (kind === 'IP Address')) return false
  return isAddress ? isIP(value) !== 0 && bare(value) === bare(host) : matches(value.toLowerCase(), host.toLowerCase())
}

/** Normalizes an address; an IPv4 address embedded in an IPv6 one becomes the IPv4 address. */
function bare(address: string): string {
  const { address: text } = new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' })
  return text.replace(/^::ffff:(?=\d+\.)/, '')
}

const HOST = /^([a-z0-9_]([a-z0-9_-]*)\.)*[a-z0-9_][a-z0-9_-]*$/
const PATTERN = /^(\*\.)?([a-z0-9_][a-z0-9_-]*\.)*[a-z0-9_][a-z0-9_-]*$/

function matches(pattern: string, host: string): boolean {
  const name = host.replace(/\.$/, '')
  // If one of the two is not a host name, they have to be equal letter by letter.
  if (!HOST.test(name) || !PATTERN.test(pattern)) return pattern !== '' && pattern === host
  if (!pattern.startsWith('*')) return pattern === name
  const dot = name.indexOf('.')
  return dot !== -1 && pattern === `*${name.slice(dot)}`
}
