// The kinds of store, and what neutral code asks of them without opening one (docs/development/add-a-store.md).

import type { BackupStorageLocation } from '#shared/api/types.ts'
import { invalid, quoted } from '#shared/domain/repository-parameter-values.ts'
import type { StoreRules, StoreSpec } from '#shared/domain/store-rules.ts'
import type { LocationRules, StoreKind, StorePolicy, StoreSettings, Stores } from '#shared/ports/stores.ts'
import { folder } from './folder/kind.ts'
import { s3 } from './s3/kind.ts'

/** One line for each kind; open.ts says how it is opened. */
export const STORE_KINDS = [
  s3, //
  folder,
] as const

const KINDS: readonly StoreKind[] = STORE_KINDS

/** For code that opens no store: what locations and parameters say. */
export const storeRules: StoreRules = {
  parse: (spec) => kindOf(spec).parse(spec.parameters),
  specOf,
  isUsable: (location) => kindOfLocation(location) !== undefined,
  placeOf: (spec) => placed(kindOf(spec), kindOf(spec).placeOf(spec.parameters)),
  placeText: (spec) => kindOf(spec).placeText(spec.parameters),
}

export function createStores(policy: StorePolicy): Stores {
  return {
    ...storeRules,
    settingsFrom: (spec, secrets) => kindOf(spec).settingsFrom(spec.parameters, secrets, policy),
    placeOfSettings: (settings) => placed(kindOfSettings(settings), kindOfSettings(settings).placeOfSettings(settings)),
  }
}

function kindOf({ driver }: StoreSpec): StoreKind {
  const found = KINDS.find((kind) => kind.driver === driver)
  if (found !== undefined) return found
  const known = KINDS.map((kind) => kind.driver).join(' or ')
  throw invalid('repositoryDriver', `Dormouse knows no ${quoted(driver)}: write ${known}`)
}

function kindOfSettings({ kind }: StoreSettings): StoreKind {
  const found = KINDS.find((one) => one.kind === kind)
  if (found !== undefined) return found
  throw new Error(`there is no store of kind ${kind}`)
}

type Located = StoreKind & { locations: LocationRules }

function kindOfLocation(location: BackupStorageLocation): Located | undefined {
  const provider = String(location.spec?.provider)
  return KINDS.filter(hasLocations).find((kind) => kind.locations.isProvider(provider))
}

function hasLocations(kind: StoreKind): kind is Located {
  return kind.locations !== undefined
}

function specOf(location: BackupStorageLocation, encryptionSecretName?: string): StoreSpec {
  const kind = kindOfLocation(location)
  if (kind === undefined) throw ofAnother(location)
  return { driver: kind.driver, parameters: kind.locations.parametersFrom(location, encryptionSecretName) }
}

function ofAnother({ metadata, ...location }: BackupStorageLocation): Error {
  const name = `BackupStorageLocation ${metadata.namespace ?? ''}/${metadata.name}`
  const ours = KINDS.filter(hasLocations).map((kind) => kind.locations.providers)
  const provider = quoted(location.spec?.provider)
  return invalid('provider', `${name} has the provider ${provider}; backups of volumes go to ${ours.join(', ')}`)
}

/** A bucket and a folder of the same name are two places. */
function placed({ kind }: StoreKind, place: string): string {
  return `${kind}:${place}`
}
