// Reads settings from environment variables. An error names the variable, its value and the allowed values.

import { TerminalError } from './errors.ts'
import { HOUR_MS, KiB, MiB, SECOND_MS } from './units.ts'

export type Env = Readonly<Record<string, string | undefined>>

/** All settings of a deployment, in the units of the code. The defaults are in `readSettings`. */
export type Settings = {
  /** Where the HTTP host listens; Knative sets it. */
  port: number
  /** A transfer stops by itself, checkpointed, after this long. */
  sliceMs: number
  /** Maximum number of concurrent transfers over all pods. */
  movers: number
  /** Limit on what one mover sends and receives; undefined: unlimited. */
  moverBytesPerSecond: number | undefined
  leaseMs: number
  /** Limit of the mover's peak memory use. */
  memoryBytes: number
  bindTimeoutMs: number
  snapshotTimeoutMs: number
  /** Every pause before another attempt is a multiple of this. */
  backoffUnitMs: number
  /** How long records of finished work are kept; 0: forever. */
  recordRetentionMs: number
  /** A disk snapshot without an owner is removed when it is older than this; 0: never. */
  orphanAgeMs: number
  /** An object that is being deleted keeps its finalizer at most this long. */
  finalizerDeadlineMs: number
  /** undefined: `cluster-id` of the vSphere configuration file. */
  clusterId: string | undefined
  /** undefined if the function opens no disk. */
  vddkDir: string | undefined
  /** Transports in VDDK's own notation; the first one that works is used. */
  vddkTransport: string
  chunkBytes: number
  veleroNamespace: string
  /** The folder that must contain all repositories in folders; undefined: none are allowed. */
  folderStores: string | undefined
  /** Where the sweep sends its wake-ups; undefined: directly to the functions. */
  brokerUrl: string | undefined
  /** Address of a function; `{step}` stands for its name. */
  functionUrlTemplate: string | undefined
  /** The sweep ignores work that has been due for less than this. */
  dueMs: number
  /** Minimum time between the starts of two sweeps, no matter what triggers them. */
  sweepGapMs: number
  /** The same for the search for orphans, which logs in to vCenter. */
  orphanGapMs: number
  /** The same for maintenance. */
  maintenanceGapMs: number
  /** An open mover without work is closed after this long. */
  idleCloseMs: number
  /** Prune gives up a session that has stored nothing for this long. */
  sessionIdleMs: number
  nodeName: string | undefined
  /** Knative's name of this deployment of the function. */
  revision: string | undefined
}

export function readSettings(env: Env): Settings {
  return {
    port: integer(env, 'PORT', 8080, { min: 0, max: 65535 }),
    sliceMs: SECOND_MS * integer(env, 'DORMOUSE_SLICE_SECONDS', 300, { min: 1, max: 540 }),
    movers: integer(env, 'DORMOUSE_MOVERS', 2, { min: 1, max: 64 }),
    moverBytesPerSecond: moverBytesPerSecond(env),
    leaseMs: SECOND_MS * integer(env, 'DORMOUSE_LEASE_SECONDS', 30, { min: 5, max: 300 }),
    memoryBytes: MiB * integer(env, 'DORMOUSE_MEMORY_MIB', 384, { min: 128, max: 65536 }),
    bindTimeoutMs: SECOND_MS * integer(env, 'DORMOUSE_BIND_TIMEOUT_SECONDS', 180, { min: 1, max: 86400 }),
    snapshotTimeoutMs: SECOND_MS * integer(env, 'DORMOUSE_SNAPSHOT_TIMEOUT_SECONDS', 3600, { min: 1, max: 86400 }),
    backoffUnitMs: SECOND_MS * integer(env, 'DORMOUSE_BACKOFF_UNIT_SECONDS', 60, { min: 1, max: 3600 }),
    recordRetentionMs: SECOND_MS * integer(env, 'DORMOUSE_RECORD_RETENTION_SECONDS', 86400, { min: 0, max: 31536000 }),
    orphanAgeMs: SECOND_MS * integer(env, 'DORMOUSE_ORPHAN_AGE_SECONDS', 7200, { min: 0, max: 31536000 }),
    finalizerDeadlineMs:
      SECOND_MS * integer(env, 'DORMOUSE_FINALIZER_DEADLINE_SECONDS', 86400, { min: 1, max: 31536000 }),
    clusterId: matching(env, 'DORMOUSE_CLUSTER_ID', CLUSTER_ID, 'letters, digits, ".", "_", "-", at most 63'),
    vddkDir: text(env, 'DORMOUSE_VDDK_DIR'),
    vddkTransport: list(env, 'DORMOUSE_VDDK_TRANSPORT', ['nbdssl', 'nbd'], VDDK_TRANSPORTS, ':').join(':'),
    chunkBytes: KiB * chunkKib(env),
    veleroNamespace: matching(env, 'DORMOUSE_VELERO_NAMESPACE', NAMESPACE, 'a namespace') ?? 'velero',
    folderStores: folder(env, 'DORMOUSE_FOLDER_STORES'),
    brokerUrl: httpUrl(env, 'DORMOUSE_BROKER_URL'),
    functionUrlTemplate: urlTemplate(env, 'DORMOUSE_FUNCTION_URL_TEMPLATE'),
    dueMs: SECOND_MS * integer(env, 'DORMOUSE_DUE_SECONDS', 30, { min: 0, max: 3600 }),
    sweepGapMs: SECOND_MS * integer(env, 'DORMOUSE_SWEEP_GAP_SECONDS', 10, { min: 0, max: 3600 }),
    orphanGapMs: SECOND_MS * integer(env, 'DORMOUSE_ORPHAN_GAP_SECONDS', 3000, { min: 0, max: 86400 }),
    maintenanceGapMs: SECOND_MS * integer(env, 'DORMOUSE_MAINTENANCE_GAP_SECONDS', 300, { min: 0, max: 86400 }),
    idleCloseMs: SECOND_MS * integer(env, 'DORMOUSE_IDLE_CLOSE_SECONDS', 45, { min: 0, max: 3600 }),
    sessionIdleMs: HOUR_MS * integer(env, 'DORMOUSE_SESSION_IDLE_HOURS', 24, { min: 1, max: 8760 }),
    nodeName: text(env, 'NODE_NAME'),
    revision: text(env, 'K_REVISION'),
  }
}

/** Below this limit a slice ends before it has transferred much. */
const LEAST_MIB_PER_SECOND = 0.25

/** The smaller of the mover's own limit and its share of the limit for all movers. */
function moverBytesPerSecond(env: Env): number | undefined {
  const own = integer(env, 'DORMOUSE_MOVER_MIB_PER_SECOND', 0, { min: 0, max: 100_000 })
  const total = integer(env, 'DORMOUSE_TOTAL_MIB_PER_SECOND', 0, { min: 0, max: 100_000 })
  const share = total / integer(env, 'DORMOUSE_MOVERS', 2, { min: 1, max: 64 })
  const limits = [own, share].filter((limit) => limit > 0)
  if (limits.length === 0) return undefined
  const least = Math.min(...limits)
  if (least >= LEAST_MIB_PER_SECOND) return least * MiB
  throw wrong('DORMOUSE_TOTAL_MIB_PER_SECOND', String(total), `at least 1 for each four of DORMOUSE_MOVERS`)
}

const CLUSTER_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const VDDK_TRANSPORTS = ['file', 'san', 'hotadd', 'nbdssl', 'nbd']

/** The variable's text without spaces around it; undefined when it is unset or empty, which Kubernetes cannot tell apart. */
export function text(env: Env, name: string): string | undefined {
  const value = env[name]?.trim()
  return value === '' ? undefined : value
}

export function integer(env: Env, name: string, fallback: number, range: { min: number; max: number }): number {
  const value = text(env, name)
  if (value === undefined) return fallback
  const parsed = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
  if (parsed >= range.min && parsed <= range.max) return parsed
  throw wrong(name, value, `a whole number from ${range.min} to ${range.max}`)
}

/** Values between separators, each one of `allowed`, and none twice. */
export function list(
  env: Env,
  name: string,
  fallback: string[],
  allowed: readonly string[],
  separator = ',',
): string[] {
  const value = text(env, name)
  if (value === undefined) return fallback
  const words = value.split(separator).map((word) => word.trim())
  if (words.every((word) => allowed.includes(word)) && new Set(words).size === words.length) return words
  throw wrong(name, value, `some of ${allowed.join(', ')}, each once, with "${separator}" between them`)
}

function matching(env: Env, name: string, pattern: RegExp, wanted: string): string | undefined {
  const value = text(env, name)
  if (value === undefined || pattern.test(value)) return value
  throw wrong(name, value, wanted)
}

/** Without a trailing slash. */
function folder(env: Env, name: string): string | undefined {
  const path = matching(env, name, /^(\/(?!\.{1,2}(\/|$))[^/\0]+)+\/?$/, 'an absolute path such as /backups')
  return path?.replace(/\/$/, '')
}

function httpUrl(env: Env, name: string): string | undefined {
  const value = text(env, name)
  if (value === undefined) return undefined
  const url = URL.parse(value)
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return value
  throw wrong(name, value, 'an http or https address')
}

function urlTemplate(env: Env, name: string): string | undefined {
  const value = httpUrl(env, name)
  if (value === undefined || value.includes('{step}')) return value
  throw wrong(name, value, 'an address that has {step} in it')
}

/** 64 KiB is the granularity of VMware's changed block tracking; a power of two keeps chunk numbers stable when it changes. */
function chunkKib(env: Env): number {
  const name = 'DORMOUSE_CHUNK_KIB'
  const kib = integer(env, name, 512, { min: 256, max: 4096 })
  if ((kib & (kib - 1)) === 0) return kib
  throw wrong(name, String(kib), 'a power of two from 256 to 4096')
}

function wrong(name: string, value: string, wanted: string): TerminalError {
  return new TerminalError('InvalidSettings', `environment variable ${name} is "${value}", want ${wanted}`)
}
