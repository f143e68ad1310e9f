// The bounds of every field on a real API server: it refuses a longer value and names the field, accepts the longest real values, and an object
// from before the bounds continues to its end.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { formatClaimSnapshotId } from '#shared/domain/ids.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { loadManifests } from '#test/environment/kubernetes/manifests.ts'
import { typeOf } from '#test/environment/main-job.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { type Field, fieldsOf, type Schema } from '#test/unit/manifests/crd-fields.ts'

const bounds = suite('bounds on a real API server')
let environment: Environment
let crds: LooseObject[]

bounds.before(async () => {
  environment = await startEnvironment({
    adapters: false,
    functions: false,
    manifests: { cluster: ['config/crd'], services: [], eventing: [] },
  })
  await environment.createNamespace('app')
  crds = await loadManifests('config/crd', environment.parts.kubectlProgram)
})
bounds.after(async () => await environment?.stop())

const DRIVER = 's3repository.astrolabe.vmware-tanzu.com'
const REPOSITORY = { repositoryDriver: DRIVER, repopsitoryParameters: {} }
/** The fields that each kind requires. */
const LEAST: Record<string, object> = {
  Snapshot: { spec: { resourceHandle: { kind: 'PersistentVolumeClaim', name: 'data' }, backupRepository: 'br' } },
  CloneFromSnapshot: {
    spec: {
      snapshotID: 'x',
      metadata: 'AAAA',
      apiGroup: '',
      kind: 'PersistentVolumeClaim',
      backupRepository: 'br',
      cloneCancel: false,
    },
  },
  DeleteSnapshot: { spec: { snapshotID: 'x', backupRepository: 'br' } },
  Upload: { spec: { snapshotID: 'x' } },
  Download: { spec: { snapshotID: 'x' } },
  BackupRepositoryClaim: REPOSITORY,
  BackupRepository: { ...REPOSITORY, allowedNamespaces: [], backupRepositoryClaim: 'c' },
}
const CONDITION = { type: 'T', status: 'True', reason: 'R', message: '', lastTransitionTime: '2026-11-30T00:00:00Z' }

function least(kind: string, name = 'x'): LooseObject {
  const namespace = KINDS[kind as KindName].namespaced ? { namespace: 'app' } : {}
  return {
    ...typeOf(kind as KindName),
    ...structuredClone(LEAST[kind]),
    metadata: { name, ...namespace },
  } as LooseObject
}

/** A value that is one longer than the field allows; undefined: the field has no bound of its own. */
function tooMuch({ path, schema }: Field): unknown {
  if (schema.maxLength !== undefined && schema.enum === undefined) {
    if (schema.format === 'byte') return 'A'.repeat(schema.maxLength + 4)
    if (schema.format === 'date-time') return `2026-11-30T00:00:00.${'0'.repeat(schema.maxLength)}Z`
    return 'a'.repeat(schema.maxLength + 1)
  }
  if (schema.maxItems !== undefined) {
    const isConditions = path.endsWith('.conditions')
    return Array.from({ length: schema.maxItems + 1 }, (_, index) =>
      isConditions ? { ...CONDITION, type: `T${index}` } : `n${index}`,
    )
  }
  if (schema.maxProperties === undefined) return undefined
  return Object.fromEntries(Array.from({ length: schema.maxProperties + 1 }, (_, index) => [`k${index}`, 'v']))
}

/** The object with `value` at the field; lists and maps on the way have one entry. */
function withField(object: LooseObject, path: string, value: unknown): LooseObject {
  const steps = path.split('.').slice(1)
  let at: Record<string, unknown> = object
  for (const [index, step] of steps.entries()) {
    const name = step.replace(/(\[\]|\{\})$/, '')
    const isLast = index === steps.length - 1
    if (step.endsWith('[]')) {
      const item = isLast ? value : step.startsWith('conditions') ? { ...CONDITION } : {}
      at[name] = [item]
      at = item as Record<string, unknown>
    } else if (step.endsWith('{}')) at[name] = { key: value }
    else if (isLast) at[name] = value
    else {
      const below = (at[name] ?? {}) as Record<string, unknown>
      at[name] = below
      at = below
    }
  }
  return object
}

/** Writes status through its subresource where there is one. A dry run, so that nothing is kept. */
async function refusalOf({ path, schema }: Field): Promise<string> {
  const kind = path.split('.')[0]!
  const isStatus = path.includes('.status.') && KINDS[kind as KindName].statusSubresource
  const wanted = withField(least(kind, isStatus ? 'present' : 'new'), path, tooMuch({ path, schema }))
  const ref = { ...typeOf(kind as KindName), ...wanted.metadata }
  try {
    if (isStatus) await environment.api.patch(ref, { status: wanted['status'] }, 'status')
    else await environment.api.create(wanted)
  } catch (error) {
    return String(error)
  }
  return ''
}

bounds('each field of each kind refuses one more than its bound, and names itself', async () => {
  for (const kind of Object.keys(LEAST)) await environment.api.create(least(kind, 'present'))
  const fields = crds.flatMap(fieldsOf).filter((field) => tooMuch(field) !== undefined)
  assert.ok(fields.length > 100, `${fields.length}`)
  for (const field of fields) {
    const leaf = (field.path.split('.').at(-1) ?? '').replaceAll(/\[\]|\{\}/g, '')
    const refusal = await refusalOf(field)
    assert.match(refusal, leaf, `${field.path}: ${refusal.slice(0, 300)}`)
    assert.match(
      refusal,
      /[Tt]oo (long|many)|may not be more|must have at most|should be/,
      `${field.path}: ${refusal.slice(0, 300)}`,
    )
  }
})

bounds('a parameter with a very long name is refused', async () => {
  const claim = least('BackupRepositoryClaim', 'long-name')
  claim['repopsitoryParameters'] = { ['k'.repeat(254)]: 'v' }
  const error = await environment.api.create(claim).catch((thrown: unknown) => thrown)
  assert.match(String(error), 'names of parameters have at most 253 characters')
})

bounds('the longest real values of every kind are taken', async () => {
  const claimName = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`
  const disk = { fcdId: 'f'.repeat(36), snapshotId: 'e'.repeat(36) }
  const snapshotID = formatClaimSnapshotId({ namespace: 'n'.repeat(63), claim: claimName, disk })
  const annotations = { big: 'x'.repeat(512 * 1024 - 400) }
  const stored = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: claimName, annotations },
    spec: {},
  }
  const metadata = encodeClaimMetadata(stored as LooseObject)
  const conditions = Array.from({ length: 8 }, (_, index) => ({
    ...CONDITION,
    type: `T${index}`,
    message: 'm'.repeat(1024),
  }))
  const clone = least('CloneFromSnapshot', 'longest')
  Object.assign(clone['spec'], { snapshotID, metadata, backupRepository: `br-${'0'.repeat(36)}` })
  await environment.api.create(clone)
  const snapshot = least('Snapshot', 'longest')
  snapshot['spec'].resourceHandle.name = claimName
  await environment.api.create(snapshot)
  const status = { phase: 'Uploaded', snapshotID, metadata, message: 'm'.repeat(1024), conditions }
  const ref = { ...typeOf('Snapshot'), namespace: 'app', name: 'longest' }
  assert.is((await environment.api.patch(ref, { status }, 'status'))['status'].metadata, metadata)
  const claim = least('BackupRepositoryClaim', 'longest')
  const caCert = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(400_000)}`
  claim['repopsitoryParameters'] = { bucket: 'b'.repeat(255), s3Url: `https://${'h'.repeat(255)}`, caCert }
  claim['allowedNamespaces'] = Array.from({ length: 5000 }, (_, index) => `namespace-${index}`)
  await environment.api.create(claim)
})

/** The schema as it was before there were bounds. */
function unbounded(crd: LooseObject): LooseObject {
  const copy = structuredClone(crd)
  for (const { schema } of fieldsOf(copy)) loosen(schema)
  return copy
}

function loosen(schema: Schema): void {
  if (schema.maxLength !== undefined && schema.enum === undefined) schema.maxLength = 2 ** 21
}

bounds('an object from before the bounds is still brought to its end: only what changes is looked at', async () => {
  const crd = crds.find(({ spec }) => spec.names.kind === 'Upload')!
  await environment.api.apply(unbounded(crd))
  const long = 'x'.repeat(5000)
  const old = least('Upload', 'old')
  Object.assign(old, { status: { phase: 'InProgress', session: long, processingNode: long } })
  const created = await eventually(async () => await environment.api.create(old))
  await environment.api.apply(crd)
  const ref = { ...typeOf('Upload'), namespace: 'app', name: 'old' }
  const cluster = createCluster({ kubeconfig: environment.kubeconfig })
  // Waits until the server has the bounds again. Each value is a new one, because the server does not check a value that stays the same.
  let attempts = 0
  await eventually(async () => {
    const error = await environment.api
      .patch(ref, { status: { session: `${long}${++attempts}` } })
      .catch((thrown: unknown) => thrown)
    assert.match(String(error), 'Too long')
  })
  const seen = (await cluster.read('Upload', 'app', 'old'))!
  const { session }: LooseObject = seen['status']
  assert.ok(session.length >= long.length)
  const ended = await cluster.patch('Upload', seen, { status: { phase: 'Completed', message: 'm'.repeat(100_000) } })
  assert.is(ended['status']?.phase, 'Completed')
  assert.is(ended['status']?.session, session)
  assert.is(ended.metadata.uid, created.metadata.uid)
})

async function eventually<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await act()
    } catch (error) {
      if (attempt >= 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

bounds.run()
