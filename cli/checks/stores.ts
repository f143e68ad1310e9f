// Does each store accept the credentials, and does it behave as the repository's protocol needs? Writes one small object and removes it.

import type { ObjectStore } from '#shared/ports/object-store.ts'
import { type Finding, note, ok, problemOf, warning } from '../finding.ts'
import type { NamedStore } from '../open-store.ts'

export type StoreToCheck = {
  /** `location default`, `repository br-…`. */
  subject: string
  /** Reads the parameters and the Secrets that they name. */
  open: () => Promise<NamedStore>
  /** Velero's access mode ReadOnly: the check writes nothing there, not even as a test. */
  readOnly?: boolean
}

type StoreDeps = {
  stores: readonly StoreToCheck[]
  /** The same probe that the engine runs when it makes a repository. */
  probeConditionalPut: (store: ObjectStore) => Promise<boolean>
}

export async function checkStores({ stores, probeConditionalPut }: StoreDeps): Promise<Finding[]> {
  const looked = new Set<string>()
  const found: Finding[] = []
  for (const { subject, open, readOnly } of stores) {
    try {
      const { parameters, store, notes, settingsText } = await open()
      found.push(...parameters.warnings.map(({ text, fix }) => warning('store', subject, text, fix)))
      found.push(...notes.map((note) => warning('store', subject, note, 'correct that line of the Secret')))
      // A location and the repositories made from it share one place.
      if (!looked.has(settingsText))
        found.push(...(await lookInto(subject, store, readOnly === true ? undefined : probeConditionalPut)))
      looked.add(settingsText)
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
