// Stores for code that does not depend on their kinds. A kind of store is one folder in shared/repository/stores and one
// line in its registry (docs/development/add-a-store.md).

import type { BackupStorageLocation } from '#shared/api/types.ts'
import type { SecretValues } from '#shared/domain/repository-secrets.ts'
import type { StoreParameters, StoreRules, StoreSpec } from '#shared/domain/store-rules.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import type { ObjectStore } from './object-store.ts'

/** Everything needed to open a store. Only the folder of its kind reads more than `kind`. Holds secrets: memory only. Plain data. */
export type StoreSettings = { readonly kind: string }

/** `notes`: oddities of the Secrets, for a log; the notes contain no secrets. */
type ReadySettings = { settings: StoreSettings; notes: string[] }

/** The registry's interface for code that does not depend on kinds. */
export interface Stores extends StoreRules {
  /** `secrets`: the values of `parse(spec).secrets`. Also TerminalErrors `CredentialsInvalid`, `FolderNotAllowed`. */
  settingsFrom(spec: StoreSpec, secrets: SecretValues): ReadySettings
  /** The same text as placeOf of the spec that the settings were made from. */
  placeOfSettings(settings: StoreSettings): string
}

/** A kind ignores options that it has no use for. */
export type StoreOptions = {
  clock?: Clock
  /** For the TCP connection. */
  connectTimeoutMs?: number
  /** Number of attempts for each call, at least 1. */
  attempts?: number
  /** Bytes of returned buffers that are kept for later answers. */
  keepBufferBytes?: number
  /**
   * false: the store ignores or refuses conditional PUT, so putIfAbsent checks for the object first and then writes. Two concurrent writers
   * could both believe that they were first, so this is only for one writer at a time (exclusive prune).
   */
  conditionalPut?: boolean
}

export type OpenedStore = ObjectStore & {
  /** Ends idle connections at once. Without this call they end by themselves and keep no process alive. */
  close(): void
  /**
   * Returns a buffer of get or getRange for reuse: the caller must not read it any more. The call is optional; a store without this method
   * allocates each buffer anew.
   */
  release?(bytes: Uint8Array): void
}

/** Connects only at the first call. */
export type OpenStore = (settings: StoreSettings, options?: StoreOptions) => OpenedStore

/** What a deployment allows. `folderStores`: the folder that must contain all stores in folders; undefined: none are allowed. */
export type StorePolicy = { folderStores: string | undefined }

/** One kind of store in the registry: rules without any I/O. Its functions throw the errors that StoreRules and Stores document. */
export interface StoreKind {
  /** `kind` of its settings. */
  readonly kind: string
  /** Its value of `repositoryDriver`. */
  readonly driver: string
  /** How BackupStorageLocations refer to it; undefined: they cannot, only a BackupRepositoryClaim of an operator can. */
  readonly locations: LocationRules | undefined
  parse(parameters: Record<string, string>): StoreParameters
  placeOf(parameters: Record<string, string>): string
  placeText(parameters: Record<string, string>): string
  settingsFrom(parameters: Record<string, string>, secrets: SecretValues, policy: StorePolicy): ReadySettings
  placeOfSettings(settings: StoreSettings): string
}

export type LocationRules = {
  /** For messages: the accepted values of `spec.provider`. */
  providers: string
  isProvider(provider: string): boolean
  parametersFrom(location: BackupStorageLocation, encryptionSecretName?: string): Record<string, string>
}
