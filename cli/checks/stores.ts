// Does each bucket let us in, and does it behave as the repository's protocol needs? Writes one small object and removes it.

import type { RepositorySettings } from '#shared/domain/repository-parameters.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { type Finding, note, ok, problemOf, warning } from '../finding.ts'

export type StoreToCheck = {
  /** `location default`, `repository br-…`. */
  subject: string
  /** Reads the parameters and the Secrets that they name. `notes`: what is odd in the credentials file. */
  open: () => Promise<{ settings: RepositorySettings; store: ObjectStore; notes?: string[] }>
  /** Velero's access mode ReadOnly: nothing is written there, not even to try. */
  readOnly?: boolean
}

export type StoreDeps = {
  stores: readonly StoreToCheck[]
  /** As the engine asks it when it makes a repository. */
  probeConditionalPut: (store: ObjectStore) => Promise<boolean>
}

export async function checkStores({ stores, probeConditionalPut }: StoreDeps): Promise<Finding[]> {
  const looked = new Set<string>()
  const found: Finding[] = []
  for (const { subject, open, readOnly } of stores) {
    try {
      const { settings, store, notes = [] } = await open()
      found.push(...settingsFindings(subject, settings))
      found.push(...notes.map((note) => warning('store', subject, note, 'correct that line of the Secret')))
      // A location and the repositories made from it share one place.
      const place = JSON.stringify([
        settings.url,
        settings.region,
        store.location,
        settings.credentialSecret,
        settings.profile,
      ])
      if (!looked.has(place))
        found.push(...(await lookInto(subject, store, readOnly === true ? undefined : probeConditionalPut)))
      looked.add(place)
    } catch (error) {
      found.push(problemOf('store', subject, error))
    }
  }
  return found
}

async function lookInto(
  subject: string,
  store: ObjectStore,
  probe: StoreDeps['probeConditionalPut'] | undefined,
): Promise<Finding[]> {
  const exists = (await store.get('config')) !== undefined
  const reach = ok(
    'store',
    subject,
    `${store.location} can be read; ${exists ? 'it holds a repository' : 'it holds no repository yet'}`,
  )
  if (probe === undefined)
    return [reach, note('store', subject, 'it is read-only for Velero, so writing was not tried')]
  if (await probe(store))
    return [reach, ok('store', subject, 'it can be written, and conditional PUT and LIST behave as needed')]
  const text = 'it can be written, but ignores PUT with if-none-match: prune runs only while no backup does'
  return [reach, warning('store', subject, text, 'use a store, or a version of it, that honours if-none-match')]
}

function settingsFindings(subject: string, settings: RepositorySettings): Finding[] {
  const found: Finding[] = []
  if (settings.plaintextCredentials) {
    const text = 'its parameters hold S3 keys in plain text, readable by everyone who may read the object'
    found.push(warning('store', subject, text, 'name a Secret in credentialSecretName, then change the keys'))
  }
  if (settings.insecureSkipTlsVerify) {
    const text = "the store's certificate is not checked: whoever is in between can pretend to be the store"
    found.push(warning('store', subject, text, 'put its CA into caCert and take insecureSkipTLSVerify away'))
  }
  if (settings.unknownKeys.length > 0) {
    const text = `parameters that mean nothing to Dormouse: ${settings.unknownKeys.join(', ')}`
    found.push(warning('store', subject, text, 'remove them, or correct their spelling'))
  }
  return found
}
