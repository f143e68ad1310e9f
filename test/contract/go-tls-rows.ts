// Servers and bundles as they occur in practice, one row each: the certificates that the server sends, and those that the client trusts.

import type { SecureVersion } from 'node:tls'
import {
  ANY_USAGE,
  CLIENT_AUTH,
  DIGITAL_SIGNATURE,
  type Issued,
  issue,
  SERVER_AUTH,
  SIGN_CERTIFICATES,
  type Wanted,
} from './go-certificates.ts'

export type Row = {
  what: string
  /** The server's own certificate first, then those that it sends along. */
  chain: Issued[]
  ca: string
  host?: string
  only?: boolean
  /** TLS settings of the server. */
  ciphers?: string
  versions?: [SecureVersion, SecureVersion]
}

export const HOST = 'minio.store.test'

/** An authority that only the variable SSL_CERT_FILE makes trusted. */
export const system = issue({ name: 'an authority of the image', ca: true, usage: SIGN_CERTIFICATES })
/** An authority in the second folder that SSL_CERT_DIR names. */
export const systemFolder = issue({ name: 'an authority of a folder', ca: true, usage: SIGN_CERTIFICATES })

const authority = (name: string, change: Partial<Wanted> = {}) =>
  issue({ name, ca: true, usage: SIGN_CERTIFICATES, ...change })
const server = (by: Issued, change: Partial<Wanted> = {}) =>
  issue({ name: HOST, by, ca: false, names: [HOST], usage: DIGITAL_SIGNATURE, extendedUsage: [SERVER_AUTH], ...change })

const root = authority('root')
const middle = authority('issuing', { by: root })
const leaf = server(middle)
const direct = server(root)
const other = authority('another root')
const pem = (...certificates: Issued[]) => certificates.map(({ certPem }) => certPem).join('')
const row = (what: string, chain: Issued[], ca: string, more: Partial<Row> = {}): Row => ({ what, chain, ca, ...more })

function anchors(): Row[] {
  const alone = issue({ name: HOST, names: [HOST] })
  const twin = authority('root')
  const oldRoot = authority('old root', { days: [-400, -10] })
  const oldMiddle = authority('issuing', { by: root, days: [-400, -10], key: middle.key })
  const crossed = authority('root', { by: oldRoot, key: root.key })
  const late = server(root, { days: [-40, -10] })
  const future = server(root, { days: [10, 40] })
  const aloneCa = issue({ name: HOST, names: [HOST], ca: true })
  const oldAlone = issue({ name: HOST, names: [HOST], days: [-40, -10] })
  return [
    row('the root', [direct], pem(root)),
    row('the root, the server sends its chain', [leaf, middle], pem(root)),
    row('the root, the server sends its chain with the root', [leaf, middle, root], pem(root)),
    row('the root, the server sends its own alone', [leaf], pem(root)),
    row('the issuing CA alone, the server sends its chain', [leaf, middle], pem(middle)),
    row('the issuing CA alone, the server sends its own alone', [leaf], pem(middle)),
    row('the issuing CA alone, the server sends all with the root', [leaf, middle, root], pem(middle)),
    row('root and issuing CA, the server sends its own alone', [leaf], pem(root, middle)),
    row("the server's own certificate", [leaf], pem(leaf)),
    row("the server's own certificate, it sends its chain", [leaf, middle], pem(leaf)),
    row('a certificate that has signed itself', [alone], pem(alone)),
    row('a certificate that has signed itself, with CA', [aloneCa], pem(aloneCa)),
    row('a certificate that has signed itself, unknown', [alone], pem(root)),
    row('another root', [leaf, middle], pem(other)),
    row('a root of the same name with another key', [direct], pem(twin)),
    row('two roots of one name, the wrong one first', [direct], pem(twin, root)),
    row('two roots of one name, the right one first', [direct], pem(root, twin)),
    row('an expired root', [server(oldRoot)], pem(oldRoot)),
    row('an expired issuing CA as the anchor', [leaf, middle], pem(oldMiddle)),
    row('an expired issuing CA as the anchor, beside the root', [leaf, middle], pem(oldMiddle, root)),
    row('an expired issuing CA in the chain', [leaf, oldMiddle], pem(root)),
    row('both in the chain, the expired one first', [leaf, oldMiddle, middle], pem(root)),
    row('an expired certificate', [late], pem(root)),
    row('an expired certificate that is its own anchor', [oldAlone], pem(oldAlone)),
    row('a certificate of tomorrow', [future], pem(root)),
    row('a root that an expired one has signed too', [direct, crossed], pem(root)),
    row('the expired one beside it', [direct, crossed], pem(oldRoot, root)),
    row('only the expired one', [direct, crossed], pem(oldRoot)),
    row('the cross-signed one as the anchor', [direct], pem(crossed)),
    row('the chain in the wrong order', [leaf, root, middle], pem(root)),
    row('a chain with something that does not belong to it', [leaf, other, middle], pem(root)),
    row('an authority of the system', [server(system)], ''),
    row('an authority of the second folder of the system', [server(systemFolder)], ''),
    row('an authority of the system beside a CA', [server(system)], pem(root)),
    row('an authority of the system where only the CA counts', [server(system)], pem(root), { only: true }),
    row('nothing', [direct], ''),
  ]
}

function names(): Row[] {
  const named = (what: string, sans: string[] | undefined, host = HOST, change: Partial<Wanted> = {}) => {
    const { names: _, ...rest } = change
    const without = { name: HOST, by: root, ca: false, usage: DIGITAL_SIGNATURE, ...rest }
    return row(what, [issue(sans === undefined ? without : { ...without, names: sans })], pem(root), { host })
  }
  return [
    named('a common name without other names', undefined),
    named('a common name beside the name of another', ['other.store.test']),
    named('a common name beside an address', ['10.0.0.1']),
    named('a common name beside an e-mail address', ['email:a@store.test']),
    named('a common name beside a URI', [`uri:https://${HOST}/`]),
    named('capital letters in the certificate', ['MinIO.Store.TEST']),
    named('capital letters in the address', [HOST], 'MINIO.store.test'),
    named('one of many', ['a.test', '10.0.0.1', HOST, 'b.test']),
    named('a dot at the end in the certificate', [`${HOST}.`]),
    named('a dot at the end in the address', [HOST], `${HOST}.`),
    named('a wildcard', ['*.store.test']),
    named('a wildcard for two labels', ['*.test']),
    named('a wildcard for the bare domain', ['*.store.test'], 'store.test'),
    named('a wildcard below a private top domain', ['*.test'], 'minio.test'),
    named('a wildcard for everything', ['*'], 'store.test'),
    named('a wildcard for a single label', ['*'], 'localhost'),
    named('a wildcard for a part of a label', ['mi*.store.test']),
    named('a wildcard at the end of a label', ['*io.store.test']),
    named('a wildcard in the middle', ['minio.*.test']),
    named('two wildcards', ['*.*.test']),
    named('a wildcard for the name itself', ['*.minio.store.test']),
    named('a wildcard as a common name', undefined, HOST, { name: '*.store.test' }),
    named('a wildcard for an international name', ['*.store.test'], 'xn--quipe-9ra.store.test'),
    named('an international name', ['xn--quipe-9ra.store.test'], 'xn--quipe-9ra.store.test'),
    named('an underscore', ['my_minio.store.test'], 'my_minio.store.test'),
    named('a wildcard for an underscore', ['*.store.test'], 'my_minio.store.test'),
    named('a dash at the end of a label', ['minio-.store.test'], 'minio-.store.test'),
    named('names with a comma', ['dns:a, DNS:minio.store.test']),
    named('names with quotation marks', ['dns:a", DNS:"minio.store.test']),
    named('a name with a null byte', ['dns:minio.store.test\0.evil.test']),
    named('a name with a space', ['dns: minio.store.test']),
    named('an empty name', ['dns:']),
    named('an address', ['127.0.0.1'], '127.0.0.1'),
    named('another address', ['127.0.0.2'], '127.0.0.1'),
    named('an address as a name', ['dns:127.0.0.1'], '127.0.0.1'),
    named('an address as a common name', undefined, '127.0.0.1', { name: '127.0.0.1' }),
    named('a wildcard for an address', ['*.0.0.1'], '127.0.0.1'),
    named('a name for an address', [HOST], '127.0.0.1'),
    named('an IPv6 address', ['::1'], '::1'),
    named('another IPv6 address', ['127.0.0.1'], '::1'),
  ]
}

function keys(): Row[] {
  const chained = (what: string, change: Partial<Wanted>, ofCa: Partial<Wanted> = {}) => {
    const by = authority('of keys', ofCa)
    return row(what, [server(by, change)], pem(by))
  }
  const rsa = authority('rsa', { keyKind: 'rsa' })
  const signed = (hash: 'sha1' | 'md5') => row(`RSA and ${hash}`, [server(rsa, { hash, keyKind: 'rsa' })], pem(rsa))
  const oldStyle = authority('sha1 root', { keyKind: 'rsa', hash: 'sha1' })
  const weakMiddle = authority('sha1 issuing', { by: rsa, keyKind: 'rsa', hash: 'sha1' })
  return [
    row('RSA', [server(rsa, { keyKind: 'rsa' })], pem(rsa)),
    signed('sha1'),
    signed('md5'),
    row('SHA-1 in the signature of the root alone', [server(oldStyle, { keyKind: 'rsa' })], pem(oldStyle)),
    row('SHA-1 in an issuing CA', [server(weakMiddle, { keyKind: 'rsa' }), weakMiddle], pem(rsa)),
    row(
      'SHA-1 in an issuing CA that is the anchor',
      [server(weakMiddle, { keyKind: 'rsa' }), weakMiddle],
      pem(weakMiddle),
    ),
    chained('ECDSA and SHA-1', { hash: 'sha1' }),
    chained('P-521', { keyKind: 'ec521' }),
    chained('Ed25519', { keyKind: 'ed25519' }, { keyKind: 'ed25519' }),
    chained('RSA of 1024 bits', { keyKind: 'rsa1024' }),
    chained('a root of RSA of 1024 bits', { keyKind: 'rsa' }, { keyKind: 'rsa1024' }),
  ]
}

function extensions(): Row[] {
  const leafWith = (what: string, change: Partial<Wanted>) => row(what, [server(root, change)], pem(root))
  const under = (what: string, change: Partial<Wanted>, ofLeaf: Partial<Wanted> = {}) => {
    const by = authority('special', { by: root, ...change })
    return row(what, [server(by, ofLeaf), by], pem(root))
  }
  const below = (what: string, change: Partial<Wanted>, ofLeaf: Partial<Wanted> = {}) => {
    const by = authority('special root', change)
    return row(what, [server(by, ofLeaf)], pem(by))
  }
  const short = authority('short', { pathLength: 0 })
  const long = authority('one too many', { by: short })
  return [
    leafWith('no extended key usage', { extendedUsage: undefined }),
    leafWith('extended key usage of a client', { extendedUsage: [CLIENT_AUTH] }),
    leafWith('any extended key usage', { extendedUsage: [ANY_USAGE] }),
    leafWith('key usage without signatures', { usage: 0b0010_0000 }),
    leafWith('key usage that only signs certificates', { usage: SIGN_CERTIFICATES }),
    leafWith('no basic constraints', { ca: undefined }),
    leafWith('a server that is a CA', { ca: true }),
    leafWith('an unknown critical extension', { unknownCritical: true }),
    under('an issuing CA of clients only', { extendedUsage: [CLIENT_AUTH] }),
    under('an issuing CA of servers', { extendedUsage: [SERVER_AUTH] }),
    under('an issuing CA without basic constraints', { ca: undefined }),
    under('an issuing CA that is none', { ca: false }),
    under('an issuing CA that may not sign', { usage: DIGITAL_SIGNATURE }),
    under('an issuing CA with an unknown critical extension', { unknownCritical: true }),
    under('an issuing CA for the domain', { permitted: ['store.test'] }),
    under('an issuing CA for the domain, with a dot', { permitted: ['.store.test'] }),
    under('an issuing CA for another domain', { permitted: ['elsewhere.test'] }),
    under('an issuing CA for all but the domain', { excluded: ['store.test'] }),
    under('an issuing CA for all but another domain', { excluded: ['elsewhere.test'] }),
    under(
      'an issuing CA for names, a server with an address',
      { permitted: ['store.test'] },
      { names: [HOST, '127.0.0.1'] },
    ),
    under('an issuing CA for addresses', { permitted: ['127.0.0.0/8'] }, { names: [HOST, '10.0.0.1'] }),
    below('a root for the domain', { permitted: ['store.test'] }),
    below('a root for another domain', { permitted: ['elsewhere.test'] }),
    below('a root of version 1', { version1: true }),
    below('a root without basic constraints', { ca: undefined }),
    below('a root that is no CA', { ca: false }),
    below('a root that may not sign', { usage: DIGITAL_SIGNATURE }),
    below('a root of clients only', { extendedUsage: [CLIENT_AUTH] }),
    below('a root with an unknown critical extension', { unknownCritical: true }),
    row('a chain that is too long', [server(long), long], pem(short)),
    row('a chain that is too long above the anchor', [server(long), long], pem(long)),
  ]
}

function texts(): Row[] {
  const [begin = '', ...rest] = root.certPem.trimEnd().split('\n')
  const end = rest.pop() ?? ''
  const body = rest.join('')
  const asText = (what: string, ca: string) => row(what, [direct], ca)
  const relabelled = (label: string) => root.certPem.replaceAll('CERTIFICATE', label)
  const broken = `${begin}\nMIIB\n${end}\n`
  return [
    asText('CRLF', root.certPem.replaceAll('\n', '\r\n')),
    asText('text between and around', `# our CA\nsubject=CN = x\n\n${pem(other)}\nsome words\n${pem(root)}\nbye`),
    asText('garbage at the end', `${pem(root)}garbage`),
    asText('no line break at the end', root.certPem.trimEnd()),
    asText('a mark of the byte order', `\ufeff${pem(root)}`),
    asText('the base64 in one line', `${begin}\n${body}\n${end}\n`),
    asText('spaces and tabs in the base64', `${begin}\n\t${rest.join(' \n  ')}\n${end}\n`),
    asText('spaces at the end of the lines', `${begin} \n${rest.join('\n')}\n${end} \n`),
    asText('empty lines in it', `${begin}\n\n${rest.join('\n\n')}\n\n${end}\n`),
    asText('indented, as in YAML', root.certPem.replaceAll(/^/gm, '    ')),
    asText('a private key before it', `${root.keyPem}${pem(root)}`),
    asText('a private key behind it', `${pem(root)}${root.keyPem}`),
    asText('a broken one before it', broken + pem(root)),
    asText('a broken one behind it', pem(root) + broken),
    asText('only a broken one', broken),
    asText('one that is cut off before it', `${begin}\n${rest.slice(0, 3).join('\n')}\n${pem(root)}`),
    asText('the end is cut off', root.certPem.slice(0, -20)),
    asText('an empty one before it', `${begin}\n${end}\n${pem(root)}`),
    asText('bytes after the certificate, inside', `${begin}\n${more(body)}\n${end}\n`),
    asText('base64 with a letter too much', `${begin}\n${body}A\n${end}\n`),
    asText('not base64', `${begin}\n${body.replace('A', '!')}\n${end}\n`),
    asText('base64url', `${begin}\n${body.replaceAll('+', '-').replaceAll('/', '_')}\n${end}\n`),
    asText('TRUSTED CERTIFICATE', relabelled('TRUSTED CERTIFICATE')),
    asText('X509 CERTIFICATE', relabelled('X509 CERTIFICATE')),
    asText('headers inside', `${begin}\nComment: ours\n\n${rest.join('\n')}\n${end}\n`),
    asText('base64 of the PEM once more', Buffer.from(pem(root)).toString('base64')),
    asText('the bare base64', body),
    asText('DER', Buffer.from(body, 'base64').toString('latin1')),
    asText('the same twice', pem(root, root)),
    asText(
      'many others and the right one',
      pem(...Array.from({ length: 20 }, (_, at) => authority(`other ${at}`)), root),
    ),
    asText('words', 'the CA is in the wiki'),
  ]
}

function more(base64: string): string {
  return Buffer.concat([Buffer.from(base64, 'base64'), Buffer.from('more')]).toString('base64')
}

function handshakes(): Row[] {
  const rsa = authority('rsa of handshakes', { keyKind: 'rsa' })
  const shown = [server(rsa, { keyKind: 'rsa', usage: 0b1010_0000 })]
  const spoken = (what: string, more: Partial<Row>) => row(what, shown, pem(rsa), more)
  const v12: [SecureVersion, SecureVersion] = ['TLSv1.2', 'TLSv1.2']
  return [
    spoken('TLS 1.3 only', { versions: ['TLSv1.3', 'TLSv1.3'] }),
    spoken('TLS 1.2 only', { versions: v12 }),
    spoken('TLS 1.1 only', { versions: ['TLSv1.1', 'TLSv1.1'] }),
    spoken('ECDHE and GCM', { versions: v12, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }),
    spoken('ECDHE and CBC', { versions: v12, ciphers: 'ECDHE-RSA-AES128-SHA' }),
    spoken('ECDHE and CBC with SHA-256', { versions: v12, ciphers: 'ECDHE-RSA-AES128-SHA256' }),
    spoken('ECDHE and ChaCha20', { versions: v12, ciphers: 'ECDHE-RSA-CHACHA20-POLY1305' }),
    spoken('no forward secrecy', { versions: v12, ciphers: 'AES128-GCM-SHA256' }),
  ]
}

export const ROWS: Row[] = [...anchors(), ...names(), ...keys(), ...extensions(), ...texts(), ...handshakes()]
