// Stores as code sees them that does not know which kinds there are. A kind of store is one folder in shared/repository/stores and one
// line in its registry (docs/development/add-a-store.md).

import type { BackupStorageLocation } from '#shared/api/types.ts'
import type { SecretValues } from '#shared/domain/repository-secrets.ts'
import type { StoreParameters, StoreRules, StoreSpec } from '#shared/domain/store-rules.ts'
import type { Clock } from '#shared/kernel/clock.ts'
import type { ObjectStore } from './object-store.ts'

/** Everything needed to open a store. Only the folder of its kind reads more than `kind`. Holds secrets: memory only. Plain data. */
export type StoreSettings = { readonly kind: string }

/** `notes`: what is odd in the Secrets, for a log; they hold nothing secret. */
export type ReadySettings = { settings: StoreSettings; notes: string[] }

/** What neutral code asks of the registry. */
export interface Stores extends StoreRules {
  /** `secrets`: the values of `parse(spec).secrets`. Also TerminalErrors `CredentialsInvalid`, `FolderNotAllowed`. */
  settingsFrom(spec: StoreSpec, secrets: SecretValues): ReadySettings
  /** The same text as placeOf of what they were made from. */
  placeOfSettings(settings: StoreSettings): string
}

/** A kind heeds what it has a use for. */
export type StoreOptions = {
  clock?: Clock
  /** For the TCP connection. */
  connectTimeoutMs?: number
  /** How often a call is tried, at least once. */
  attempts?: number
  /** Bytes of buffers that callers gave back and that are kept for later answers. */
  keepBufferBytes?: number
  /**
   * false: the store ignores or refuses conditional PUT, and putIfAbsent looks first and writes then. Two writers that do so at the same
   * moment both believe that they were first: only for one writer at a time (exclusive prune).
   */
  conditionalPut?: boolean
}

export type OpenedStore = ObjectStore & {
  /** Ends idle connections at once. Without it they end by themselves and keep no process alive. */
  close(): void
  /**
   * Gives a buffer of get or getRange back, to be used for another answer: the caller reads it no more. The call may be left out; a store
   * without it makes each buffer anew.
   */
  release?(bytes: Uint8Array): void
}

/** Nothing is connected to before the first call. */
export type OpenStore = (settings: StoreSettings, options?: StoreOptions) => OpenedStore

/** What a deployment allows. `folderStores`: the folder below which stores in folders may lie; undefined: there are none. */
export type StorePolicy = { folderStores: string | undefined }

/** One kind of store as it stands in the registry: rules without any I/O. What throws does so as StoreRules and Stores say. */
export interface StoreKind {
  /** `kind` of its settings. */
  readonly kind: string
  /** The value of `repositoryDriver` that stands for it. */
  readonly driver: string
  /** What locations lead to it; undefined: none does, only a BackupRepositoryClaim of an operator. */
  readonly locations: LocationRules | undefined
  parse(parameters: Record<string, string>): StoreParameters
  placeOf(parameters: Record<string, string>): string
  placeText(parameters: Record<string, string>): string
  settingsFrom(parameters: Record<string, string>, secrets: SecretValues, policy: StorePolicy): ReadySettings
  placeOfSettings(settings: StoreSettings): string
}

export type LocationRules = {
  /** For messages: what `spec.provider` has to be. */
  providers: string
  isProvider(provider: string): boolean
  parametersFrom(location: BackupStorageLocation, encryptionSecretName?: string): Record<string, string>
}
