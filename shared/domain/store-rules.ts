// What each kind of store knows about its own parameters, asked without any I/O. The kinds lie in shared/repository/stores; what decides
// about repositories is given these rules and names no kind.

import type { BackupRepository, BackupRepositoryClaim, BackupStorageLocation } from '#shared/api/types.ts'
import type { Reference } from './secret-purposes.ts'

/** What a BackupRepository or its claim says of its store: `repositoryDriver` names the kind, `repopsitoryParameters` are that kind's own. */
export type StoreSpec = { driver: string; parameters: Record<string, string> }

/** What every kind of store says of its parameters. */
export type StoreParameters = {
  /** The Secret with the repository's own key. */
  encryptionSecretName: string
  /** The BackupStorageLocation in Velero's namespace that the parameters were made from; undefined: they do not tell. */
  location: string | undefined
  /** They hold the store's credentials readably (condition `PlaintextCredentials`). */
  plaintextCredentials: boolean
  /** The Secrets whose values the store's settings need. */
  secrets: Reference[]
  /** What works, and should be changed all the same. */
  warnings: { text: string; fix: string }[]
}

export interface StoreRules {
  /** TerminalError `RepositoryParametersInvalid` names the parameter and what to write there. */
  parse(spec: StoreSpec): StoreParameters
  /**
   * Of a BackupStorageLocation: only what it says, in a fixed order, so that equal locations give equal parameters. TerminalError
   * `RepositoryParametersInvalid`: no repository can be made from it.
   */
  specOf(location: BackupStorageLocation, encryptionSecretName?: string): StoreSpec
  /** Its provider is one of ours. Volumes are backed up into no other one. */
  isUsable(location: BackupStorageLocation): boolean
  /** Where to look, as one text that is equal for the same place, and no proof of what is there. TerminalError `RepositoryParametersInvalid`. */
  placeOf(spec: StoreSpec): string
  /** The same for people. */
  placeText(spec: StoreSpec): string
}

/** Of a BackupRepository or a BackupRepositoryClaim. */
export function specOfRepository(object: BackupRepository | BackupRepositoryClaim): StoreSpec {
  return { driver: String(object.repositoryDriver ?? ''), parameters: object.repopsitoryParameters ?? {} }
}
