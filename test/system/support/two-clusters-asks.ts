// What tenants and operators of one cluster request about objects of the other cluster, and how each request has to end.

import { randomUUID } from 'node:crypto'
import type { KindName } from '#shared/api/kinds.ts'
import { STEP_LABEL } from '#shared/domain/step-label.ts'
import type { Environment } from '#test/environment/environment.ts'
import { aSnapshot } from '#test/environment/main-job.ts'
import { VELERO_NAMESPACE as VELERO } from '#test/environment/options.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { plant, type Tenant } from './tenants.ts'
import { type Cluster, clone, deletion, diskIn, NAMESPACE, upload } from './two-clusters.ts'

/** A request, and `<phase> <reason>: <message>` of its end; `nobody`: no function handles it. */
export type Ask = { what: string; by: Tenant; object: LooseObject; status?: object; ends: RegExp | 'nobody' }

/** Dozens of requests are made at once. */
const PATIENCE_MS = 180_000
const ENDS = ['Failed', 'SnapshotFailed', 'UploadFailedAfterRetry', 'Canceled', 'Completed', 'Uploaded']

/** The requests that did not end as expected, in words. */
export async function wrongEnds({ environment }: Cluster, asks: Ask[]): Promise<string[]> {
  const ended = await Promise.all(asks.map(async (ask) => ({ ...ask, end: await endOf(environment, ask) })))
  const isWrong = ({ ends, end }: (typeof ended)[number]) => (typeof ends === 'string' ? ends !== end : !ends.test(end))
  return ended.filter(isWrong).map(({ what, end, ends }) => `${what}: ${end}, want ${ends}`)
}

async function endOf(environment: Environment, { by, object, status, ends }: Ask): Promise<string> {
  await plant(by.api, { object, ...(status === undefined ? {} : { status }) })
  if (ends === 'nobody') return 'nobody'
  const isOver = (seen: LooseObject | undefined) =>
    seen?.metadata.labels?.[STEP_LABEL] === 'done' && ENDS.includes(seen['status']?.phase)
  const { namespace, name } = object.metadata
  const seen = (await environment.waitFor(object.kind as KindName, namespace, name, isOver, PATIENCE_MS)).object
  const { phase, reason, message } = seen['status']
  return `${phase} ${reason}: ${message}`
}

/** The HTTP status of a refusal; undefined: it was not refused. */
export async function refusalOf(call: Promise<unknown>): Promise<number | undefined> {
  return await call.then(
    () => undefined,
    (error: { status?: number }) => error.status,
  )
}

const asked = (by: Tenant) => (what: string, object: LooseObject, ends: Ask['ends'], status?: object) => ({
  ...{ what, by, object, ends },
  ...(status === undefined ? {} : { status }),
})

/** Requests with the sample role, about objects of the other cluster: in the shared repository and in its own one. */
export function asksOfTenants({ plain, repositories }: Cluster, other: Cluster): Ask[] {
  const { named, open, own } = repositories
  const [sealed, apart, kept] = [other.sealed, other.apart, other.kept].map((one) => one['status'])
  const ofOtherCluster = new RegExp(`^Failed NotPermitted: .*cluster "${other.id}" has made it`)
  const notFound = /^Failed BackupNotFound/
  const stays = /^Failed NotPermitted: the disk snapshot stays/
  const backupStays = /^Failed NotPermitted: the backup stays: another cluster has made it/
  const nothing = /^Completed Completed: the repository holds no backup of this snapshot; the disk snapshot is gone/
  const ask = asked(plain)
  return [
    ask('restore, from a repository that names the namespace', clone(NAMESPACE, sealed, named), ofOtherCluster),
    ask('restore, from one that is open to all', clone(NAMESPACE, sealed, open), ofOtherCluster),
    ask('restore from the own repository', clone(NAMESPACE, sealed, own), notFound),
    ask("restore of what is in the other's own one", clone(NAMESPACE, apart, named), notFound),
    ask('delete', deletion(NAMESPACE, sealed.snapshotID, named), backupStays),
    ask('delete from the own repository', deletion(NAMESPACE, sealed.snapshotID, own), nothing),
    ask('delete what is kept in vCenter', deletion(NAMESPACE, kept.snapshotID, ''), stays),
    ask('the same with a repository', deletion(NAMESPACE, kept.snapshotID, named), stays),
  ]
}

/** Requests of tenants who may write a status. */
export function asksByStatus({ hostile, repositories: { named }, volume }: Cluster, other: Cluster): Ask[] {
  const [sealed, kept] = [other.sealed['status'], other.kept['status']]
  const snapshot = (more: object = {}) => {
    const claim = { namespace: NAMESPACE, name: volume.claim.metadata.name }
    const object = aSnapshot(`forged-${randomUUID()}`, claim, named)
    return { ...object, spec: { ...object['spec'], ...more } } as LooseObject
  }
  const volumeID = `ivd:${other.volume.fcdId}`
  const forged = ({ snapshotID, metadata }: typeof sealed, phase = 'Snapshotted') => ({
    ...{ phase, snapshotID, metadata, volumeID },
    uploadName: `upload-${diskIn(snapshotID).split(':')[2]}`,
  })
  const staged = { phase: 'InProgress', volumeName: other.volume.volumeName, volumeID }
  const cancelled = clone(NAMESPACE, sealed, named, { cloneCancel: true })
  const ask = asked(hostile)
  return [
    ask("a status with the other's disk snapshot", snapshot(), /^Uploaded /, forged(kept)),
    ask("a status with the other's backup", snapshot(), /^Uploaded /, forged(sealed)),
    ask('the same, cancelled', snapshot({ snapshotCancel: true }), /^Canceled /, forged(kept, 'Canceling')),
    ask("a restore with the other's volume in its status, cancelled", cancelled, /^Canceled /, staged),
    ask('an Upload of its own', upload(NAMESPACE, diskIn(kept.snapshotID), named), 'nobody'),
  ]
}

/** Requests in Velero's namespace. */
export function asksOfOperators({ operator, repositories: { named, own } }: Cluster, other: Cluster): Ask[] {
  const [sealed, kept] = [other.sealed['status'], other.kept['status']]
  const notPermitted = /^\w+ NotPermitted: /
  const diskSnapshotStays = /^Completed .*the disk snapshot stays, as another cluster or program has made it/
  const nothing = /^Completed Completed: the repository holds no/
  const onBehalf = { 'dormouse.dev/on-behalf-of': NAMESPACE }
  const inBackup = { ...onBehalf, 'dormouse.dev/velero-backup': 'nightly' }
  const asOwn = upload(VELERO, diskIn(sealed.snapshotID), named, `${NAMESPACE}/forged`)
  const ask = asked(operator)
  return [
    ask("upload the other's disk snapshot", upload(VELERO, diskIn(kept.snapshotID), named), notPermitted),
    ask("take the other's backup for the own", asOwn, notPermitted),
    ask("delete the other's disk snapshot", deletion(VELERO, kept.snapshotID, ''), diskSnapshotStays),
    ask('delete where it is not', deletion(VELERO, sealed.snapshotID, own), nothing),
    ask('delete for a namespace', deletion(VELERO, sealed.snapshotID, named, onBehalf), notPermitted),
    ask('delete for a Backup that it is not of', deletion(VELERO, sealed.snapshotID, named, inBackup), notPermitted),
  ]
}
