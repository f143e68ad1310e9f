// Whether a certificate is for the server that was asked for, by Go's rules (crypto/x509, VerifyHostname): a name or an address
// in subjectAltName, never the common name; `*` for one whole label at the front, also before a private top domain.

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

/** `DNS:a.example, IP Address:10.0.0.1, DNS:"a, b"`: Node quotes what could be taken for more than one. */
const NAME = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

/** undefined: not all of it was understood. */
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

/** What is no text of Node's matches nothing. */
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

/** One way to write each address; an IPv4 address in an IPv6 one is itself. */
function bare(address: string): string {
  const { address: text } = new SocketAddress({ address, family: isIP(address) === 6 ? 'ipv6' : 'ipv4' })
  return text.replace(/^::ffff:(?=\d+\.)/, '')
}

const HOST = /^([a-z0-9_]([a-z0-9_-]*)\.)*[a-z0-9_][a-z0-9_-]*$/
const PATTERN = /^(\*\.)?([a-z0-9_][a-z0-9_-]*\.)*[a-z0-9_][a-z0-9_-]*$/

function matches(pattern: string, host: string): boolean {
  const name = host.replace(/\.$/, '')
  // What is no host name on one of the two sides has to be the same to the letter.
  if (!HOST.test(name) || !PATTERN.test(pattern)) return pattern !== '' && pattern === host
  if (!pattern.startsWith('*')) return pattern === name
  const dot = name.indexOf('.')
  return dot !== -1 && pattern === `*${name.slice(dot)}`
}
