// What each kind of store knows about its own parameters, without any I/O. The kinds are in shared/repository/stores; code that decides
// about repositories gets these rules as an argument and names no kind.

import type { BackupRepository, BackupRepositoryClaim, BackupStorageLocation } from '#shared/api/types.ts'
import type { Reference } from './secret-purposes.ts'

/**
 * How a BackupRepository or its claim describes its store: `repositoryDriver` names the kind, and `repopsitoryParameters` belong to that
 * kind.
 */
export type StoreSpec = { driver: string; parameters: Record<string, string> }

/** A setting that works but should be changed, in words of the kind of store. `text` names no secret value. */
export type StoreWarning = { text: string; fix: string }

/** The properties that every kind of store derives from its parameters. */
export type StoreParameters = {
  /** The Secret with the repository's own key. */
  encryptionSecretName: string
  /** The BackupStorageLocation in Velero's namespace that the parameters were made from; undefined: they do not name one. */
  location: string | undefined
  /**
   * The parameters contain the store's credentials in plain text: the message of the condition `PlaintextCredentials`, and one of
   * `warnings`. undefined: they do not.
   */
  plaintextCredentials: StoreWarning | undefined
  /** The Secrets whose values the store's settings need. */
  secrets: Reference[]
  warnings: StoreWarning[]
}

export interface StoreRules {
  /** Throws TerminalError `RepositoryParametersInvalid`, which names the parameter and what to write there. */
  parse(spec: StoreSpec): StoreParameters
  /**
   * The parameters for a BackupStorageLocation. They contain only what the location says, in a fixed order, so that equal locations give
   * equal parameters. Throws TerminalError `RepositoryParametersInvalid` if no repository can be made from the location.
   */
  specOf(location: BackupStorageLocation, encryptionSecretName?: string): StoreSpec
  /** True if Dormouse supports the location's provider. Volumes are not backed up to other locations. */
  isUsable(location: BackupStorageLocation): boolean
  /**
   * The place of the repository as a text that is equal for equal places. It does not prove what is there. Throws TerminalError
   * `RepositoryParametersInvalid`.
   */
  placeOf(spec: StoreSpec): string
  /** The same for people. */
  placeText(spec: StoreSpec): string
}

/** The store of a BackupRepository or a BackupRepositoryClaim. */
export function specOfRepository(object: BackupRepository | BackupRepositoryClaim): StoreSpec {
  return { driver: String(object.repositoryDriver ?? ''), parameters: object.repopsitoryParameters ?? {} }
}
