// `repopsitoryParameters` of a store in a folder: `path`, and the Secret of the repository's key. The deployment says where such stores
// may be (docs/operations/locations.md#a-folder-as-store).

import { isAbsolute, normalize, sep } from 'node:path'
import { invalid, quoted, read, requireBounded } from '#shared/domain/repository-parameter-values.ts'
import { DEFAULT_ENCRYPTION_SECRET, requirePurposes } from '#shared/domain/secret-purposes.ts'
import type { StoreParameters } from '#shared/domain/store-rules.ts'
import { TerminalError } from '#shared/kernel/errors.ts'

type Parameters = Record<string, string>

const KNOWN_KEYS = ['path', 'encryptionSecretName']
const SETTING = 'DORMOUSE_FOLDER_STORES'

/** TerminalError `RepositoryParametersInvalid`. */
export function parseFolderParameters(parameters: Parameters): StoreParameters {
  requireBounded(parameters)
  pathOf(parameters)
  if (read(parameters, 'backupStorageLocation') !== undefined)
    throw invalid('backupStorageLocation', 'a store in a folder has none: remove it')
  const encryptionSecretName = read(parameters, 'encryptionSecretName') ?? DEFAULT_ENCRYPTION_SECRET
  requirePurposes(encryptionSecretName, [])
  const unknown = Object.keys(parameters).filter((key) => !KNOWN_KEYS.includes(key))
  const text = `parameters that mean nothing to a store in a folder: ${unknown.sort().join(', ')}`
  const warnings = unknown.length === 0 ? [] : [{ text, fix: 'remove them, or correct their spelling' }]
  return { encryptionSecretName, location: undefined, plaintextCredentials: undefined, secrets: [], warnings }
}

/** The path, without a slash at its end. TerminalError `RepositoryParametersInvalid`. */
export function pathOf(parameters: Parameters): string {
  const path = parameters['path'] ?? ''
  if (path === '') throw invalid('path', 'it is missing: name the folder, such as /backups/prod')
  if (!isAbsolute(path)) throw invalid('path', `${quoted(path)} is no absolute path: write it from its first slash on`)
  if (/\p{Cc}/u.test(path)) throw invalid('path', `${quoted(path)} holds a control character: write it anew`)
  if (path.split(sep).includes('..'))
    throw invalid('path', `${quoted(path)} leads out of itself: write it without ".."`)
  return normalize(`${path}/`).slice(0, -1)
}

/** The folder below which stores may be. TerminalError `FolderNotAllowed`: no such folder is set, or `path` is not below it. */
export function requireAllowed(path: string, folderStores: string | undefined): string {
  if (folderStores === undefined)
    throw notAllowed(`the store in the folder ${path} is not opened, as no folder was given to stores: set ${SETTING}`)
  if (isBelow(path, folderStores)) return folderStores
  throw notAllowed(
    `the folder ${path} is not below ${folderStores}, which ${SETTING} gives to stores: choose one below it`,
  )
}

/** The folder itself is not allowed: a store there would be written to the node's own disk whenever the volume is not mounted. */
export function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder === sep ? sep : `${folder}${sep}`) && path !== sep
}

export function notAllowed(why: string): TerminalError {
  return new TerminalError('FolderNotAllowed', why)
}
