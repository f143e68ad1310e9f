// The object `config`: plain JSON that says how to read the repository, with a MAC under its key.

import { timingSafeEqual } from 'node:crypto'
import { CorruptionError } from '#shared/kernel/errors.ts'
import { excerptOf } from '#shared/kernel/excerpt.ts'
import { KiB } from '#shared/kernel/units.ts'
import { jsonObjectIn } from './bytes.ts'
import { type Features, readFeatures, requireFeatures, versionUnknown } from './features.ts'
import type { RepositoryKeys } from './repository-keys.ts'
import {
  CONFIG_MARK,
  DEFAULT_PAGE_CHUNKS,
  FORMAT_VERSION,
  MAX_CHUNK_BYTES,
  READABLE_CHUNK_BYTES,
  READABLE_PAGE_CHUNKS,
} from './version.ts'

/** The parameters that each repository chooses for itself. */
export type RepositoryConfig = Features & { repositoryId: string; chunkBytes: number; pageChunks: number }

/** A config has half a kilobyte. */
export const MOST_CONFIG_BYTES = 16 * KiB

const ALGORITHMS = { hash: 'blake3-keyed-128', compression: 'zstd', cipher: 'aes-256-gcm' }

export function encodeConfig(keys: RepositoryKeys, config: RepositoryConfig): Buffer {
  const { requiredFeatures, optionalFeatures, ...cut } = config
  const body = {
    format: CONFIG_MARK,
    version: FORMAT_VERSION,
    ...cut,
    ...ALGORITHMS,
    requiredFeatures,
    optionalFeatures,
  }
  return Buffer.from(`${JSON.stringify({ ...body, mac: keys.configMac(macText(config)) }, undefined, 2)}\n`, 'utf8')
}

/** Reads the config without trusting it: the MAC can be checked only with the key (`checkConfigMac`). */
export function decodeConfig(bytes: Uint8Array, where: string): { config: RepositoryConfig; mac: string } {
  const refuse = (what: string) => new CorruptionError('RepositoryConfigCorrupt', `${where}: ${what}`)
  if (bytes.length > MOST_CONFIG_BYTES) throw refuse(`it has more than ${MOST_CONFIG_BYTES} bytes`)
  const fields = jsonObjectIn(bytes)
  if (fields === undefined) throw refuse('not a JSON object')
  const { format, version, repositoryId, chunkBytes, pageChunks, mac } = fields
  if (format !== CONFIG_MARK) throw refuse(`not the config of a Dormouse repository`)
  const algorithmsKnown = Object.entries(ALGORITHMS).every(([name, value]) => fields[name] === value)
  if (version !== FORMAT_VERSION || !algorithmsKnown) {
    const names = ['version', ...Object.keys(ALGORITHMS)]
    const found = names.map((name) => `${name} ${shown(fields[name])}`).join(', ')
    throw versionUnknown(where, `it is of another format than ${FORMAT_VERSION}: ${found}`)
  }
  const features = featuresIn(fields, refuse)
  requireFeatures(features, where)
  if (typeof repositoryId !== 'string' || !/^[0-9a-f]{32}$/.test(repositoryId)) throw refuse('no repository id')
  if (typeof mac !== 'string' || !/^[0-9a-f]{64}$/.test(mac)) throw refuse('no MAC')
  if (!isPowerOfTwo(chunkBytes, READABLE_CHUNK_BYTES, MAX_CHUNK_BYTES))
    throw refuse(`chunkBytes is ${shown(chunkBytes)}`)
  if (!isPowerOfTwo(pageChunks, READABLE_PAGE_CHUNKS, DEFAULT_PAGE_CHUNKS))
    throw refuse(`pageChunks is ${shown(pageChunks)}`)
  return { config: { repositoryId, chunkBytes, pageChunks, ...features }, mac }
}

/** A value for a message. Neither JSON nor a string can be made of every value: one that is nested deep enough overflows the stack. */
function shown(value: unknown): string {
  if (value === undefined) return 'missing'
  return typeof value === 'object' && value !== null ? 'no single value' : excerptOf(JSON.stringify(value), 40)
}

function featuresIn(fields: Record<string, unknown>, refuse: (what: string) => CorruptionError): Features {
  try {
    return readFeatures(fields)
  } catch (error) {
    throw refuse(String(error))
  }
}

export function checkConfigMac(keys: RepositoryKeys, config: RepositoryConfig, mac: string, where: string): void {
  if (timingSafeEqual(Buffer.from(keys.configMac(macText(config)), 'hex'), Buffer.from(mac, 'hex'))) return
  throw new CorruptionError('RepositoryConfigCorrupt', `${where}: its MAC does not match, someone has changed it`)
}

/** The MAC covers these lines, so that the formatting of the JSON does not matter. */
function macText(config: RepositoryConfig): string {
  const values = [CONFIG_MARK, FORMAT_VERSION, config.repositoryId, config.chunkBytes, config.pageChunks]
  const features = [config.requiredFeatures.join(','), config.optionalFeatures.join(',')]
  return `${[...values, ...Object.values(ALGORITHMS), ...features].join('\n')}\n`
}

function isPowerOfTwo(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(Math.log2(value)) && value >= least && value <= most
}
