// What a hostile tenant may write: forged ids, forged status, others' Secrets, endpoints and namespaces, and values of absurd size and form.

import type { KindName } from '#shared/api/kinds.ts'
import { typeOf } from '#test/environment/main-job.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

/** What an attacker may know about the victim: ids are no secrets. */
export type Known = {
  namespace: string
  claim: string
  volumeName: string
  fcdId: string
  /** `status` of the victim's sealed backup. */
  sealed: { snapshotID: string; metadata: string; uploadName: string }
  /** A Snapshot that is kept in vCenter (local mode). */
  local: string
  /** Snapshots of the victim's disk: one of another program, and one of another cluster. */
  foreign: string
  otherCluster: string
  downloadName: string
  /** Repositories: for the victim alone; open to all backups; the attacker's own over the same bucket; the attacker's own elsewhere. */
  repositories: { victim: string; open: string; shared: string; own: string }
  lurePort: number
  location: string
  openLocation: string
}

export type Hostile = {
  what: string
  object: LooseObject
  /** Written to the status just after the object was created, unless a function was faster. */
  status?: Record<string, unknown>
  /** `refused`: the API server refuses it. `nobody`: it is accepted, and no function handles it. Otherwise the reason that it must show. */
  ends: 'refused' | 'nobody' | RegExp
}

export function b64(text: string): string {
  return Buffer.from(text).toString('base64').replace(/=+$/, '')
}

const UUID = '11111111-2222-4333-8444-555555555555'

export function hostileObjects(namespace: string, known: Known): Hostile[] {
  let number = 0
  const metadata = (more: object = {}) => ({ name: `hostile-${++number}`, namespace, ...more })
  const object = (kind: KindName, body: object, more: object = {}): LooseObject => ({
    ...typeOf(kind),
    metadata: metadata(more),
    ...body,
  })
  const deletion = (snapshotID: string, repository: string, more: object = {}) =>
    object('DeleteSnapshot', { spec: { snapshotID, backupRepository: repository } }, more)
  const clone = (snapshotID: string, repository: string, more: object = {}, stored = known.sealed.metadata) => {
    const spec = { snapshotID, metadata: stored, apiGroup: '', kind: 'PersistentVolumeClaim', cloneCancel: false }
    return object('CloneFromSnapshot', { spec: { ...spec, backupRepository: repository } }, more)
  }
  const snapshot = (claim: string, repository: string, more: object = {}) => {
    const resourceHandle = { apiGroup: '', kind: 'PersistentVolumeClaim', name: claim }
    return object('Snapshot', { spec: { resourceHandle, backupRepository: repository } }, more)
  }
  const claimOf = (parameters: Record<string, string>, more: object = {}) =>
    object('BackupRepositoryClaim', {
      repositoryDriver: 's3repository.astrolabe.vmware-tanzu.com',
      repopsitoryParameters: parameters,
      ...more,
    })
  const { sealed, repositories } = known
  const disk = sealed.snapshotID.split(':')[2] ?? ''
  const asOwn = `pvc:${namespace}/data:${disk}`
  const lure = `https://127.0.0.1:${known.lurePort}`
  const elsewhere = { bucket: 'dormouse', region: 'us-east-1', s3Url: lure, s3ForcePathStyle: 'true' }
  const refusedDeletion = /^(NotPermitted|NamespaceNotAllowed)$/
  const refusedRestore = /^(NotPermitted|NamespaceNotAllowed)$/
  return [
    {
      what: "deletes the victim's backup",
      object: deletion(sealed.snapshotID, repositories.victim),
      ends: refusedDeletion,
    },
    {
      what: 'the same by its own repository over that bucket',
      object: deletion(sealed.snapshotID, repositories.shared),
      ends: refusedDeletion,
    },
    {
      what: 'the same, the id says its own namespace',
      object: deletion(asOwn, repositories.shared),
      ends: refusedDeletion,
    },
    {
      what: 'the same, on behalf of the victim',
      object: deletion(sealed.snapshotID, repositories.shared, {
        annotations: { 'dormouse.dev/on-behalf-of': known.namespace },
      }),
      ends: refusedDeletion,
    },
    {
      what: "deletes the victim's snapshot that is kept in vCenter",
      object: deletion(known.local, ''),
      ends: refusedDeletion,
    },
    {
      what: "deletes a foreign program's disk snapshot",
      object: deletion(known.foreign, repositories.own),
      ends: refusedDeletion,
    },
    {
      what: "deletes another cluster's disk snapshot",
      object: deletion(known.otherCluster, repositories.own),
      ends: refusedDeletion,
    },
    {
      what: 'deletes an id with a NUL',
      object: deletion(`ivd:${UUID}\0:${UUID}`, repositories.own),
      ends: /^SnapshotIDInvalid$/,
    },
    {
      what: 'deletes an id with path parts',
      object: deletion('ivd:../../etc:..', repositories.own),
      ends: /^SnapshotIDInvalid$/,
    },
    { what: 'deletes an id of a megabyte', object: deletion('a'.repeat(1_000_000), repositories.own), ends: 'refused' },
    {
      what: "restores the victim's backup from its repository",
      object: clone(sealed.snapshotID, repositories.victim),
      ends: refusedRestore,
    },
    {
      what: 'the same from a repository that lets everybody back up',
      object: clone(sealed.snapshotID, repositories.open),
      ends: refusedRestore,
    },
    {
      what: 'the same from its own repository over that bucket',
      object: clone(sealed.snapshotID, repositories.shared),
      ends: refusedRestore,
    },
    {
      what: 'the same, the id says its own namespace',
      object: clone(asOwn, repositories.shared),
      ends: refusedRestore,
    },
    {
      what: 'the same, as if Velero had asked for it',
      object: clone(sealed.snapshotID, repositories.shared, {
        labels: { 'velero.io/restore-uid': UUID, 'velero.io/restore-name': 'r' },
        annotations: { 'dormouse.dev/velero-restore': 'r' },
      }),
      ends: refusedRestore,
    },
    {
      what: "takes the victim's volume by status",
      object: clone(sealed.snapshotID, repositories.shared),
      status: {
        phase: 'InProgress',
        volumeName: known.volumeName,
        volumeID: `ivd:${known.fcdId}`,
        downloadName: known.downloadName,
        reclaimPolicy: 'Delete',
      },
      ends: /./,
    },
    {
      what: 'has a volume of the host made by status',
      object: clone(sealed.snapshotID, repositories.shared, {
        annotations: { 'dormouse.dev/restored-volume': 'dormouse-host' },
      }),
      status: {
        phase: 'InProgress',
        volumeName: known.volumeName,
        downloadName: known.downloadName,
        restoredVolume: JSON.stringify({
          claimUID: UUID,
          metadata: { name: 'dormouse-host' },
          spec: { hostPath: { path: '/' }, csi: { volumeHandle: known.fcdId }, claimRef: { namespace, name: 'data' } },
        }),
      },
      ends: /./,
    },
    {
      what: "waits for the victim's volume by name",
      object: clone(sealed.snapshotID, repositories.shared, {
        annotations: { 'dormouse.dev/restored-volume': known.volumeName },
      }),
      ends: /^(VolumeNameInvalid|NotPermitted|NamespaceNotAllowed)$/,
    },
    {
      what: 'cancels with the name of a foreign Download',
      object: clone(sealed.snapshotID, repositories.shared),
      status: { phase: 'Canceling', downloadName: known.downloadName },
      ends: /./,
    },
    {
      what: 'restores what is no claim',
      object: clone(sealed.snapshotID, repositories.shared, {}, b64('\0\0\0')),
      ends: /^(MetadataInvalid|NotPermitted|NamespaceNotAllowed)$/,
    },
    {
      what: 'restores metadata of a megabyte and more',
      object: clone(sealed.snapshotID, repositories.shared, {}, 'A'.repeat(1_200_000)),
      ends: 'refused',
    },
    {
      what: "backs up the victim's claim by a path",
      object: snapshot(`../${known.namespace}/${known.claim}`, repositories.own),
      ends: /^(ClaimNotFound|InvalidObject)$/,
    },
    {
      what: "backs up into the victim's repository",
      object: snapshot('data', repositories.victim),
      ends: /^NamespaceNotAllowed$/,
    },
    {
      what: "backs up the victim's volume through a claim that names it",
      object: snapshot('stolen', repositories.own),
      ends: /^(VolumeOfAnotherClaim|ClaimNotBound)$/,
    },
    {
      what: "has the victim's disk uploaded by status",
      object: snapshot('data', repositories.own),
      status: { phase: 'Snapshotted', snapshotID: known.local, uploadName: 'upload-x' },
      ends: /./,
    },
    {
      what: "has the victim's disk snapshot removed by status",
      object: snapshot('data', repositories.own),
      status: { phase: 'Canceling', snapshotID: known.local },
      ends: /./,
    },
    {
      what: 'polls a task of a vCenter of its own',
      object: snapshot('data', repositories.own),
      status: { phase: 'New', task: { vcenter: `127.0.0.1:${known.lurePort}`, task: 'task-1' } },
      ends: /./,
    },
    {
      what: "sends the repository's password as an SSE-C key",
      object: claimOf({
        ...elsewhere,
        insecureSkipTLSVerify: 'true',
        customerKeyEncryptionSecret: 'dormouse-repository-key/password',
      }),
      ends: /NotAllowed$|^RepositoryParametersInvalid$/,
    },
    {
      what: "sends the store's credentials to its own endpoint",
      object: claimOf({ ...elsewhere, insecureSkipTLSVerify: 'true' }),
      ends: /NotAllowed$/,
    },
    {
      what: 'names an internal address',
      object: claimOf({ ...elsewhere, s3Url: `http://127.0.0.1:${known.lurePort}/latest/meta-data` }),
      ends: /NotAllowed$/,
    },
    {
      what: 'uses a location that is not open to it',
      object: claimOf({ backupStorageLocation: known.location }),
      ends: /NotAllowed$/,
    },
    {
      what: 'uses an open location with another bucket',
      object: claimOf({ backupStorageLocation: known.openLocation, bucket: 'other' }),
      ends: /NotAllowed$/,
    },
    {
      what: "allows the victim's namespace",
      object: claimOf({ backupStorageLocation: known.openLocation }, { allowedNamespaces: [known.namespace] }),
      ends: /NotAllowed$/,
    },
    {
      what: 'has a prefix of 100,000 slashes',
      object: claimOf({ ...elsewhere, prefix: '/'.repeat(100_000) }),
      ends: /^LocationNotAllowed$/,
    },
    {
      what: "has an Upload of the victim's disk in its own namespace",
      object: object('Upload', {
        spec: { snapshotID: known.local, backupRepository: repositories.own, snapshotReference: `${namespace}/x` },
      }),
      ends: 'nobody',
    },
    {
      what: "has a Download to the victim's disk in its own namespace",
      object: object('Download', {
        spec: {
          snapshotID: sealed.snapshotID,
          protectedEntityID: `ivd:${known.fcdId}`,
          backupRepositoryName: repositories.open,
        },
      }),
      ends: 'nobody',
    },
  ]
}
