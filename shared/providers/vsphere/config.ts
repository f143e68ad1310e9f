// What Dormouse takes from the Secret with the vSphere credentials: one cluster id and every vCenter in it.
//
// The format is that of the vSphere CSI driver and the Velero Plugin for vSphere, so a Secret that works there works here. Dormouse adds
// two keys to a VirtualCenter section, which the other two ignore: `thumbprint-sha256` and `ca-data`.

import { isIPv6 } from 'node:net'
import { type IniSection, type IniValue, invalidConfig, parseIni } from './ini.ts'

/** `clusterId` is '' when the text names none (newer CSI drivers generate one); then the caller must have one. */
export type VSphereConfig = { clusterId: string; vcenters: VCenter[] }

/** Holds a password: never log or write it. `insecure` is the user's explicit choice; callers warn about it. */
export type VCenter = {
  /** Name or address without brackets, also for IPv6. */
  host: string
  port: number
  user: string
  password: string
  insecure: boolean
  /** SHA-256 of the certificate, 64 hex digits in lower case. Takes precedence over `caPem`. */
  pinnedSha256?: string
  /** PEM bundle; if it is given, no other authority is trusted. */
  caPem?: string
}

/** The file names that the manuals use (vanilla, Supervisor), for a Secret that holds other keys as well. */
const USUAL_DATA_KEYS = ['csi-vsphere.conf', 'vsphere-cloud-provider.conf', 'cns-csi.conf']
const DEFAULT_PORT = '443'
/** The CSI driver's own limit; the id appears in the description of every snapshot. */
const MAX_CLUSTER_ID_CHARS = 64
/** As gcfg reads them, in upper or lower case. */
const TRUE = ['true', 'yes', 'on', '1']
const FALSE = ['false', 'no', 'off', '0']

/** `data` as the API server returns it (base64). Throws TerminalError VSphereConfigInvalid; messages never hold a value. */
export function readVSphereSecret(data: Readonly<Record<string, string>>): VSphereConfig {
  const key = dataKey(Object.keys(data).sort())
  // `ca-file` is a path in the CSI driver's Pod; here it can only name another key of the same Secret.
  return readVSphereConfig(decode(data[key] ?? ''), (path) => {
    const file = path.split('/').at(-1) ?? ''
    return Object.hasOwn(data, file) ? decode(data[file] ?? '') : undefined
  })
}

export function readVSphereConfig(text: string, fileOf: (path: string) => string | undefined): VSphereConfig {
  const sections = parseIni(text)
  const global = sections.find((section) => section.name === 'global' && section.label === '')
  const clusterId = textOf('cluster-id', global) ?? textOf('supervisor-id', global) ?? ''
  if (clusterId.length > MAX_CLUSTER_ID_CHARS) {
    throw invalidConfig('[Global]', `shorten cluster-id to ${MAX_CLUSTER_ID_CHARS} characters`)
  }
  const named = sections.filter((section) => section.name === 'virtualcenter')
  if (named.length === 0)
    throw invalidConfig('the whole text', 'add a section such as `[VirtualCenter "vc.example.com"]`')
  const vcenters = named.map((section) => readVCenter(section, global, fileOf))
  const twice = vcenters.find(({ host }, at) => vcenters.findIndex((other) => other.host === host) !== at)
  if (twice !== undefined) throw invalidConfig(`[VirtualCenter "${twice.host}"]`, 'keep one section for each vCenter')
  return { clusterId, vcenters }
}

function dataKey(keys: string[]): string {
  const usual = USUAL_DATA_KEYS.find((key) => keys.includes(key))
  const byEnding = keys.filter((key) => key.endsWith('.conf'))
  const key = usual ?? (byEnding.length === 1 ? byEnding[0] : keys.length === 1 ? keys[0] : undefined)
  if (key !== undefined) return key
  const held = keys.length === 0 ? 'no data key' : `the data keys ${keys.join(', ')}`
  throw invalidConfig('the Secret', `it holds ${held}; keep the configuration under the key csi-vsphere.conf`)
}

/** User, password, port, flags and trust may be in [Global] for all sections, as in the CSI driver. */
function readVCenter(
  section: IniSection,
  global: IniSection | undefined,
  fileOf: (path: string) => string | undefined,
): VCenter {
  const both = [section, global]
  const missing = (key: string) => invalidConfig(where(section), `add \`${key} = "…"\``)
  const user = textOf('user', ...both)
  const password = textOf('password', ...both)
  if (user === undefined) throw missing('user')
  if (password === undefined) throw missing('password')
  // XML 1.0 cannot represent these, so vCenter could not accept them either (XML 1.0 §2.2).
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x08\x0b\x0c\x0e-\x1f]/.test(user + password)) {
    throw invalidConfig(where(section), 'take the control characters out of user and password')
  }
  return { host: hostOf(section), port: portOf(section, ...both), user, password, ...trustOf(section, both, fileOf) }
}

/**
 * The CSI driver documents that ca-file and thumbprint have no effect under insecure-flag, so a Secret that is shared with it may hold
 * stale ones. thumbprint-sha256 and ca-data can only have been written for Dormouse, and take precedence.
 */
function trustOf(
  section: IniSection,
  both: (IniSection | undefined)[],
  fileOf: (path: string) => string | undefined,
): Pick<VCenter, 'insecure' | 'pinnedSha256' | 'caPem'> {
  const ownPin = findValue('thumbprint-sha256', ...both)
  if (ownPin?.value !== undefined && ownPin.value !== '') return { insecure: false, pinnedSha256: pinOf(ownPin) }
  const caData = findValue('ca-data', ...both)
  if (caData?.value !== undefined && caData.value !== '') return { insecure: false, caPem: pemOf(caData) }
  // In the CSI driver, a section cannot override a flag in [Global].
  if (both.some((each) => booleanOf('insecure-flag', each))) return { insecure: true }
  const pin = findValue('thumbprint', ...both)
  if (pin?.value !== undefined && pin.value !== '') return { insecure: false, pinnedSha256: pinOf(pin) }
  const caFile = textOf('ca-file', ...both)
  if (caFile === undefined) return { insecure: false }
  const caPem = fileOf(caFile)
  if (caPem?.includes('-----BEGIN CERTIFICATE-----') === true) return { insecure: false, caPem }
  const fix = `the Secret has no certificates under the key ${caFile.split('/').at(-1)} that ca-file names`
  throw invalidConfig(where(section), `${fix}; add it, or give ca-data or thumbprint-sha256`)
}

function pinOf({ value = '', line }: IniValue): string {
  const hex = value.replace(/^sha256:/i, '').replaceAll(/[:\s-]/g, '')
  if (/^[0-9a-f]{64}$/i.test(hex)) return hex.toLowerCase()
  const sha1 = /^[0-9a-f]{40}$/i.test(hex) ? 'a SHA-1 thumbprint is too weak to trust a certificate by; ' : ''
  const command = '`openssl x509 -noout -fingerprint -sha256`'
  throw invalidConfig(
    `line ${line}`,
    `${sha1}give the SHA-256 in thumbprint-sha256, 64 hex digits as ${command} prints them`,
  )
}

/** PEM as it is (`\n` for line ends), or base64 of PEM. */
function pemOf({ value = '', line }: IniValue): string {
  const pem = value.includes('-----BEGIN') ? value : decode(value.replaceAll(/\s/g, ''))
  if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem
  throw invalidConfig(`line ${line}`, 'ca-data holds no PEM certificate; give `base64 -w0 < ca.pem`')
}

function hostOf(section: IniSection): string {
  const host = section.label.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  if (isIPv6(host) || /^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?$/.test(host)) return host
  throw invalidConfig(where(section), 'name the host alone, without https:// and with the port in `port = "443"`')
}

function portOf(section: IniSection, ...sections: (IniSection | undefined)[]): number {
  const port = textOf('port', ...sections) ?? DEFAULT_PORT
  if (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) return Number(port)
  throw invalidConfig(where(section), 'give port as a number from 1 to 65535')
}

function booleanOf(key: string, section: IniSection | undefined): boolean {
  const found = section?.values.get(key)
  if (found === undefined) return false
  const value = found.value?.toLowerCase() ?? 'true'
  if (TRUE.includes(value)) return true
  if (FALSE.includes(value)) return false
  throw invalidConfig(`line ${found.line}`, `give ${key} as "true" or "false"`)
}

/** The value in the first of these sections that has the key; '' counts as absent. */
function textOf(key: string, ...sections: (IniSection | undefined)[]): string | undefined {
  const found = findValue(key, ...sections)
  if (found !== undefined && found.value === undefined) throw invalidConfig(`line ${found.line}`, `write ${key} = "…"`)
  return found?.value
}

function findValue(key: string, ...sections: (IniSection | undefined)[]): IniValue | undefined {
  return sections.map((section) => section?.values.get(key)).find((found) => found !== undefined && found.value !== '')
}

function where(section: IniSection): string {
  return `line ${section.line}, [VirtualCenter "${section.label}"]`
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8')
}
