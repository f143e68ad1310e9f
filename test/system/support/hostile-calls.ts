// Calls of Velero's plugin that Velero would never make: valid enough to pass the first checks, and wrong everywhere else.

import fc from 'fast-check'
import { METHODS } from '#test/unit/velero/go-plugin-client.ts'
import { actionNames } from '../../../velero/domain/names.ts'

const NAMES = actionNames()

const ODD = ['', 'shop', 'orders', '../..', '\u0000', '{"@level":5}', '\n[ERROR] x\n', 'é'.repeat(70_000)]
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.constantFrom(...ODD),
  fc.integer({ min: 0, max: 50_000 }).map((times) => '"\u0001😀\n'.repeat(times)),
)
const anyValue = fc.oneof(anyText, fc.jsonValue({ maxDepth: 2 }))

function mostly<T, U>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<U>): fc.Arbitrary<T | U> {
  return fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: odd })
}

const anyKey = mostly(fc.constantFrom('velero-plugin-for-vsphere/item-snapshot-blob', 'dormouse.dev/snapshot'), anyText)
const anyMap = fc.dictionary(anyKey, anyValue, { maxKeys: 3 })
const anyMetadata = fc.record(
  { name: anyText, namespace: anyText, uid: anyText, labels: anyMap, annotations: anyMap },
  { requiredKeys: [] },
)
/** Values for items: a claim, a volume, two blocked kinds; none of them is a valid Backup or Restore. */
const anyType = fc.constantFrom(
  { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
  { apiVersion: 'v1', kind: 'PersistentVolume' },
  { apiVersion: 'cns.vmware.com/v1alpha1', kind: 'CnsVolumeMetadata' },
  { apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1', kind: 'Upload' },
)
const anyObject = fc
  .tuple(
    mostly(anyType, fc.record({ apiVersion: anyValue, kind: anyValue })),
    fc.record(
      {
        metadata: mostly(anyMetadata, anyValue),
        spec: anyValue,
        status: mostly(fc.record({ phase: anyValue }), anyValue),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([type, rest]) => JSON.stringify({ ...type, ...rest }))
const anyJson = mostly(anyObject, anyText)

/** The name of the action for that path, which a call needs to reach it. */
function nameFor(path: string): string {
  if (path.startsWith('/v2.Backup')) return NAMES.backupper
  return path.startsWith('/v2.Restore') ? NAMES.restorer : NAMES.deleter
}

const paths = Object.keys(METHODS).filter((path) => !path.endsWith('/Shutdown'))

export const hostileCall = fc.constantFrom(...paths).chain((path) =>
  fc.record({
    path: fc.constant(path),
    /** Bytes to send in place of a message. */
    bytes: mostly(fc.constant(undefined), fc.uint8Array({ maxLength: 300 })),
    fields: fc.record({
      plugin: mostly(fc.constant(nameFor(path)), anyText),
      operationID: anyText,
      item: anyJson,
      itemFromBackup: anyJson,
      backup: anyJson,
      restore: anyJson,
    }),
  }),
)

export type HostileCall = typeof hostileCall extends fc.Arbitrary<infer Call> ? Call : never
