// NO_PROXY, entry by entry: addresses, networks in CIDR notation, domains with or without the domain itself, ports, `*`.

import { isIP, isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'

type Place = { host: string; port: string; address: bigint | undefined }

/** Whether NO_PROXY excludes the target from proxies; a loopback target is always excluded. */
export function isDirect(target: URL, noProxy: string): boolean {
  const host = target.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = target.port || (target.protocol === 'https:' ? '443' : '80')
  const place = { host, port, address: addressOf(host) }
  if (host === 'localhost' || isLoopback(place.address)) return true
  return noProxy.split(',').some((entry) => matches(entry.trim().toLowerCase(), place))
}

function matches(entry: string, place: Place): boolean {
  if (entry === '') return false
  if (entry === '*') return true
  const network = networkOf(entry)
  if (network !== undefined) return place.address !== undefined && network(place.address)
  const { host, port } = splitPort(entry)
  if (host === '' || (port !== '' && port !== place.port)) return false
  const address = addressOf(host)
  // A domain never matches a part of an address, though many addresses end in `.1`.
  if (address !== undefined || place.address !== undefined) return address === place.address
  return isWithin(place.host, host)
}

/** `foo.com`: the domain and its subdomains; `.foo.com` and `*.foo.com`: only its subdomains. */
function isWithin(host: string, entry: string): boolean {
  const below = entry.startsWith('*.') ? entry.slice(1) : entry
  if (below.startsWith('.')) return host.endsWith(`.${ascii(below.slice(1))}`)
  return host === ascii(below) || host.endsWith(`.${ascii(below)}`)
}

function ascii(domain: string): string {
  // Only for names outside ASCII: domainToASCII would also refuse characters that a name in NO_PROXY may contain.
  return /^[\0-\x7f]*$/.test(domain) ? domain : domainToASCII(domain) || domain
}

/** `host`, `host:port`, `[address]:port`. Anything else is taken as a host, in particular an address with colons. */
function splitPort(entry: string): { host: string; port: string } {
  const [, bracketed, name, port = ''] = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:[\]]*)$/.exec(entry) ?? []
  return { host: bracketed ?? name ?? entry, port }
}

function networkOf(entry: string): ((address: bigint) => boolean) | undefined {
  const [, text = '', digits = ''] = /^([^/]*)\/(\d{1,4})$/.exec(entry) ?? []
  const base = addressOf(text)
  const ofV4 = isIPv4(text)
  const length = Number(digits) + (ofV4 ? 96 : 0)
  if (base === undefined || length > 128) return undefined
  const shift = BigInt(128 - length)
  // `::/0` matches all of IPv6, and nothing of IPv4.
  return (address) => (length >= 96 || !isV4(address)) && address >> shift === base >> shift
}

function isV4(address: bigint): boolean {
  return address >> 32n === 0xffffn
}

/** 128 bits; an IPv4 address equals the IPv6 address that represents it (`::ffff:…`). */
function addressOf(text: string): bigint | undefined {
  if (isIP(text) === 0 || text.includes('%')) return undefined
  if (isIPv4(text)) return (0xffffn << 32n) | text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n)
  const [head = '', tail] = hexGroups(text).split('::')
  const [first, last] = [groupsOf(head), groupsOf(tail ?? '')]
  const gap = Array.from({ length: 8 - first.length - last.length }, () => 0n)
  return [...first, ...gap, ...last].reduce((sum, group) => (sum << 16n) | group, 0n)
}

/** The last four bytes may be written as in IPv4. */
function hexGroups(text: string): string {
  return text.replace(/(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number)
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
  })
}

function groupsOf(text: string): bigint[] {
  return text === '' ? [] : text.split(':').map((group) => BigInt(`0x${group}`))
}

function isLoopback(address: bigint | undefined): boolean {
  return address === 1n || (address !== undefined && address >> 24n === 0xffff7fn)
}
