// Helpers of the tests of bad input: making requests that cannot succeed, waiting for their end, and checking what is left over.

import { randomUUID } from 'node:crypto'
import * as assert from 'uvu/assert'
import type { Condition, KindName } from '#shared/api/kinds.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { typeOf } from '#test/environment/main-job.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const ENDS: Partial<Record<KindName, string[]>> = {
  Snapshot: ['Uploaded', 'SnapshotFailed', 'UploadFailedAfterRetry', 'Canceled'],
  CloneFromSnapshot: ['Completed', 'Failed', 'Canceled'],
  DeleteSnapshot: ['Completed', 'Failed'],
  Upload: ['Completed', 'Canceled', 'UploadFailedAfterRetry'],
  Download: ['Completed', 'Failed'],
}

/** The object once it is over: a final phase, the label `done`, no finalizer of Dormouse. */
export async function endOf(
  environment: Environment,
  kind: KindName,
  namespace: string,
  name: string,
  timeoutMs = 60_000,
): Promise<LooseObject> {
  const isOver = (object: LooseObject | undefined) =>
    ENDS[kind]?.includes(object?.['status']?.phase) === true &&
    object?.metadata.labels?.['dormouse.dev/step'] === 'done' &&
    object.metadata.finalizers?.includes('dormouse.dev/object') !== true
  return (await environment.waitFor(kind, namespace, name, isOver, timeoutMs)).object
}

/** Waits until the object shows that reason, in any phase. */
export async function untilReason(
  environment: Environment,
  kind: KindName,
  namespace: string,
  name: string,
  reason: string,
  timeoutMs = 60_000,
): Promise<LooseObject> {
  const says = (object: LooseObject | undefined) => object?.['status']?.reason === reason
  return (await environment.waitFor(kind, namespace, name, says, timeoutMs)).object
}

/** Waits until the object shows that reason, and an Event beside it does, too. */
export async function untilTold(...wanted: Parameters<typeof untilReason>): Promise<LooseObject> {
  const object = await untilReason(...wanted)
  const [environment, kind, , name, reason] = wanted
  await until(`an Event ${reason} beside ${kind} ${name}`, async () => await hasEvent(environment, object, reason))
  return object
}

type Refusal = { phase: string; reason: string; message: RegExp; condition?: string }

/** Phase, reason, message and condition agree, and there is an Event beside the object. */
export async function assertRefused(environment: Environment, object: LooseObject, wanted: Refusal): Promise<void> {
  const { phase, reason, message, conditions } = object['status']
  const where = `${object.kind} ${object.metadata.name.slice(0, 40)}`
  assert.equal({ phase, reason }, { phase: wanted.phase, reason: wanted.reason }, `${where}: ${message}`)
  assert.match(message, wanted.message, where)
  if (wanted.condition !== undefined) {
    const found = (conditions as Condition[] | undefined)?.find(({ type }) => type === wanted.condition)
    assert.equal([found?.status, found?.reason], ['False', wanted.reason], `condition ${wanted.condition} of ${where}`)
  }
  await until(
    `an Event ${wanted.reason} beside ${where}`,
    async () => await hasEvent(environment, object, wanted.reason),
  )
}

export async function hasEvent(environment: Environment, object: LooseObject, reason: string): Promise<boolean> {
  const events = await environment.api.list('v1', 'Event', object.metadata.namespace)
  return events.some((event) => event['involvedObject'].uid === object.metadata.uid && event['reason'] === reason)
}

type CloneWish = { snapshotID: string; metadata?: string; repository: string; kind?: string }

export async function askForClone(environment: Environment, namespace: string, wish: CloneWish): Promise<string> {
  await environment.createNamespace(namespace)
  const name = randomUUID()
  await environment.api.create({
    ...typeOf('CloneFromSnapshot'),
    metadata: { name, namespace },
    spec: {
      snapshotID: wish.snapshotID,
      ...(wish.metadata === undefined ? {} : { metadata: wish.metadata }),
      apiGroup: '',
      kind: wish.kind ?? 'PersistentVolumeClaim',
      backupRepository: wish.repository,
      cloneCancel: false,
    },
  })
  return name
}

export async function askForDeletion(
  environment: Environment,
  snapshotID: string,
  repository: string,
): Promise<string> {
  const name = `delete-${randomUUID()}`
  await environment.api.create({
    ...typeOf('DeleteSnapshot'),
    metadata: { name, namespace: 'velero' },
    spec: { snapshotID, backupRepository: repository },
  })
  return name
}

/** Makes the object due now, as a user may who does not want to wait for the next attempt. */
export async function retryNow(
  environment: Environment,
  kind: 'Upload' | 'Download' | 'DeleteSnapshot' | 'Snapshot',
  namespace: string,
  name: string,
): Promise<void> {
  const steps = { Upload: 'upload', Download: 'download', DeleteSnapshot: 'delete', Snapshot: 'snapshot' }
  const now = new Date().toISOString()
  const status = kind === 'Upload' || kind === 'Download' ? { status: { nextRetryTimestamp: now } } : {}
  await environment.api.patch(
    { ...typeOf(kind), namespace, name },
    { metadata: { labels: { 'dormouse.dev/step': steps[kind] }, annotations: { 'dormouse.dev/due': now } }, ...status },
  )
}

export type Standing = { claims: string[]; volumes: string[]; disks: string[]; snapshots: string[] }

/** Existing claims, PersistentVolumes, disks, and snapshots of disks. */
export async function standing(environment: Environment): Promise<Standing> {
  const named = (objects: LooseObject[]) =>
    objects.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`).sort()
  const { fcds } = await environment.vcenterState()
  return {
    claims: named(await environment.api.list('v1', 'PersistentVolumeClaim')),
    volumes: named(await environment.api.list('v1', 'PersistentVolume')),
    disks: fcds.map(({ id }) => id).sort(),
    snapshots: fcds.flatMap(({ id, snapshots }) => snapshots.map((snapshot) => `${id}:${snapshot.id}`)).sort(),
  }
}

/** The same, once no volume is being removed: no unbound volume and no staging claim is left. */
export async function settledStanding(environment: Environment): Promise<Standing> {
  await until('no volume is on its way out', async () => {
    const volumes = await environment.api.list('v1', 'PersistentVolume')
    const { claims } = await standing(environment)
    return (
      volumes.every((one) => one['status']?.phase === 'Bound') && !claims.some((name) => name.includes('/dormouse-'))
    )
  })
  return await standing(environment)
}

/** Deletions take a moment; what still exists after that was left over. */
export async function assertStanding(environment: Environment, wanted: Standing): Promise<void> {
  const isSame = async () => JSON.stringify(await standing(environment)) === JSON.stringify(wanted)
  await until('nothing more than before', isSame, 30_000).catch(() => undefined)
  assert.equal(await standing(environment), wanted)
}

/** Objects of Dormouse that still hold something. */
export async function heldObjects(environment: Environment): Promise<string[]> {
  const kinds: KindName[] = ['Snapshot', 'CloneFromSnapshot', 'DeleteSnapshot', 'Upload', 'Download']
  const lists = await Promise.all(kinds.map((kind) => environment.api.list(typeOf(kind).apiVersion, kind)))
  const held = lists.flat().filter(({ metadata }) => metadata.finalizers?.includes('dormouse.dev/object') === true)
  return held.map((object) => `${object.kind} ${object.metadata.namespace}/${object.metadata.name}`).sort()
}
