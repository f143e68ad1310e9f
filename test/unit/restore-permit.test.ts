// Who may restore a backup: checked with its opened root, at each slice, before a byte is written.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { Permits, type TransferDeps } from '#shared/controllers/deps.ts'
import { requireRestoreAllowed } from '#shared/controllers/restore-permit.ts'
import { OTHER_CLUSTERS_ANNOTATION } from '#shared/domain/authority.ts'
import { STAGED_VOLUME_ANNOTATION } from '#shared/domain/staged-volume.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { BackupAbout, DownloadRequest } from '#shared/ports/mover.ts'
import type { Context } from '#shared/runtime/context.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { reasonOf } from '#test/support/reason.ts'
import { stores } from '#test/support/stores.ts'
import { handleDownload } from '../../functions/download/handler.ts'

const test = suite('who may restore')
const GROUP = 'backupdriver.cnsdp.vmware.com/v1alpha1'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

type Given = {
  /** Namespace of the CloneFromSnapshot; undefined: the Download has no reference. */
  namespace?: string | undefined
  about?: Partial<BackupAbout>
  allowed?: string[]
  /** `spec` of a Restore of Velero called `back`. */
  restore?: object
  phase?: string
  /** `dormouse.dev/restore-from-clusters` of the BackupRepository. */
  clusters?: string
  /** The repository that the clone names. */
  restoreUid?: string
  metadata?: object
  status?: object
}

/** A Download of app's backup, made in Velero's namespace, and all objects that the check reads. */
function aWorld(given: Given = {}) {
  const cluster = new MemoryCluster({ clock: systemClock })
  const { namespace, allowed = [] } = given
  const repository = {
    apiVersion: GROUP,
    kind: 'BackupRepository',
    metadata: {
      name: 'br',
      ...(given.clusters === undefined ? {} : { annotations: { [OTHER_CLUSTERS_ANNOTATION]: given.clusters } }),
    },
    allowedNamespaces: allowed,
  }
  cluster.seed('BackupRepository', repository)
  const restore =
    given.restore === undefined
      ? undefined
      : cluster.seed('Restore', {
          apiVersion: 'velero.io/v1',
          kind: 'Restore',
          metadata: { name: 'back', namespace: 'velero' },
          spec: { backupName: 'nightly', ...given.restore },
          status: { phase: given.phase ?? 'WaitingForPluginOperations' },
        })
  const clone =
    namespace === undefined ? undefined : aClone(cluster, namespace, given.restoreUid ?? restore?.metadata.uid)
  const download = cluster.seed('Download', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Download',
    metadata: { name: `download-b2-${clone?.metadata.uid ?? 'by-hand'}`, namespace: 'velero', ...given.metadata },
    spec: {
      snapshotID: 'ivd:a1:b2',
      protectedEntityID: 'ivd:c3',
      backupRepositoryName: 'br',
      ...(clone === undefined ? {} : { clonefromSnapshotReference: `${namespace}/clone-1` }),
    },
    status: { phase: 'New', ...given.status },
  })
  const asked: DownloadRequest[] = []
  return { ...theDeps(cluster, given.about, asked), cluster, download, clone, asked }
}

function aClone(cluster: MemoryCluster, namespace: string, restoreUid: string | undefined): LooseObject {
  return cluster.seed('CloneFromSnapshot', {
    apiVersion: GROUP,
    kind: 'CloneFromSnapshot',
    metadata: {
      name: 'clone-1',
      namespace,
      ...(restoreUid === undefined
        ? {}
        : { labels: { 'velero.io/restore-uid': restoreUid }, annotations: { 'dormouse.dev/velero-restore': 'back' } }),
    },
    spec: { snapshotID: 'pvc:app/data:aXZkOmExOmIy', backupRepository: 'br', cloneCancel: false },
  })
}

function theDeps(cluster: MemoryCluster, about: Partial<BackupAbout> | undefined, asked: DownloadRequest[]) {
  const origin = { clusterId: 'here', createdMs: 0, claim: 'app/data' }
  const source = { diskId: 'a1', snapshotId: 'b2', capacityBytes: 1024, changeId: undefined }
  const backup = { root: 'roots/2', source, about: { ...origin, backup: 'nightly', ...about } }
  const mover = {
    kill() {},
    download: async (request: DownloadRequest) => {
      asked.push(request)
      const progress = { totalBytes: 1024, bytesDone: 1024, bytesReceived: 1024, bytesWritten: 1024 }
      return { state: 'more', nextChunk: 1, progress }
    },
  }
  const deps = {
    cluster,
    clock: systemClock,
    settings: readSettings({}),
    stores,
    identity: 'pod-1',
    log: silent,
    mover,
    permits: new Permits(1),
    countSlice() {},
    clusterId: async () => 'here',
    access: async () => ({}),
    repositories: { find: async () => backup },
    volumes: { describe: async () => ({ capacityBytes: 1024 }), diskAccess: async () => ({}) },
  } as unknown as TransferDeps
  return { deps }
}

async function slice({ deps, cluster, download }: ReturnType<typeof aWorld>, namespace = 'velero') {
  const ref = { kind: 'Download', namespace, name: download.metadata.name } as const
  const why = await handleDownload({ log: silent } as unknown as Context, ref, deps, new AbortController().signal)
  return { why, status: cluster.peek('Download', 'velero', download.metadata.name)?.['status'] }
}

const MAPPED = { namespaceMapping: { app: 'copy' } }
const CASES: [text: string, given: Given, may: boolean][] = [
  ['the namespace itself', { namespace: 'app' }, true],
  ['another namespace, whatever its snapshotID says', { namespace: 'copy' }, false],
  ['another namespace, and a repository that names only the source', { namespace: 'copy', allowed: ['app'] }, false],
  ['another namespace, and a repository that names both', { namespace: 'copy', allowed: ['app', 'copy'] }, true],
  ['a Restore that maps it', { namespace: 'copy', restore: MAPPED }, true],
  ['a Restore that maps it to another namespace', { namespace: 'tenant', restore: MAPPED }, false],
  ['a Restore of another Backup', { namespace: 'copy', restore: { ...MAPPED, backupName: 'weekly' } }, false],
  [
    'a Restore of the Backup, and a root that names none',
    { namespace: 'copy', restore: MAPPED, about: { backup: undefined } },
    false,
  ],
  ['a Restore that is over', { namespace: 'copy', restore: MAPPED, phase: 'Completed' }, false],
  ['a Restore of that name and another UID', { namespace: 'copy', restore: MAPPED, restoreUid: 'forged' }, false],
  [
    'a Restore that includes another namespace',
    { namespace: 'copy', restore: { ...MAPPED, includedNamespaces: ['web'] } },
    false,
  ],
  [
    'a Restore that includes it by a pattern',
    { namespace: 'copy', restore: { ...MAPPED, includedNamespaces: ['a*'] } },
    true,
  ],
  ['a Restore that excludes it', { namespace: 'copy', restore: { ...MAPPED, excludedNamespaces: ['app'] } }, false],
  ['a Restore with restorePVs: false', { namespace: 'copy', restore: { ...MAPPED, restorePVs: false } }, false],
  ['a Restore of ConfigMaps', { namespace: 'copy', restore: { ...MAPPED, includedResources: ['configmaps'] } }, false],
  ['a Restore of claims', { namespace: 'copy', restore: { ...MAPPED, includedResources: ['pods', 'pvc'] } }, true],
  [
    'a Restore that leaves claims out',
    { namespace: 'copy', restore: { ...MAPPED, excludedResources: ['persistentvolumeclaims'] } },
    false,
  ],
  [
    'a Restore that chooses by labels, and a clone of another name than the plugin gives',
    { namespace: 'copy', restore: { ...MAPPED, labelSelector: { matchLabels: { app: 'web' } } } },
    false,
  ],
  ['another cluster, the same namespace', { namespace: 'app', about: { clusterId: 'there' } }, false],
  [
    'another cluster that the repository trusts, and an empty list of namespaces',
    { namespace: 'app', about: { clusterId: 'there' }, clusters: 'there' },
    false,
  ],
  [
    'another cluster that the repository trusts, and a list that names the namespace itself',
    { namespace: 'app', about: { clusterId: 'there' }, clusters: 'elsewhere, there', allowed: ['app'] },
    true,
  ],
  [
    'another cluster, whichever, and a list that names the namespace itself',
    { namespace: 'app', about: { clusterId: 'there' }, clusters: '*', allowed: ['app'] },
    true,
  ],
  [
    'another cluster than the trusted one, and a list that names the namespace itself',
    { namespace: 'app', about: { clusterId: 'there' }, clusters: 'elsewhere', allowed: ['app'] },
    false,
  ],
  ['another cluster, and a Restore', { namespace: 'app', about: { clusterId: 'there' }, restore: {} }, true],
  ['a root that names no namespace', { namespace: 'app', about: { claim: '' } }, false],
  ["a clone in Velero's namespace", { namespace: 'velero' }, true],
  ['a Download made by hand, without a reference', {}, true],
]
for (const [text, given] of CASES.filter(([, , may]) => may)) {
  test(`${text}: may be restored`, async () => {
    const world = aWorld(given)
    const { status } = await slice(world)
    assert.equal([status?.phase, status?.reason, world.asked.length], ['InProgress', 'Transferring', 1])
  })
}
for (const [text, given] of CASES.filter(([, , may]) => !may)) {
  test(`${text}: may not be restored, and nothing is written`, async () => {
    const world = aWorld(given)
    const { status } = await slice(world)
    const isAllowed = given.allowed === undefined || given.allowed.includes(given.namespace ?? '')
    const reason = isAllowed ? 'NotPermitted' : 'NamespaceNotAllowed'
    assert.equal([status?.phase, status?.reason, world.asked.length], ['Failed', reason, 0])
  })
}

test('a refusal says what is missing: the trusted cluster by its id, the own namespace in the list, or both namespaces', async () => {
  const about = { clusterId: 'there' }
  const cases: [given: Given, says: RegExp, never: RegExp][] = [
    [{ namespace: 'app', about }, /cluster "there" has made it: .*restore-from-clusters/, /another namespace/],
    [
      { namespace: 'app', about, clusters: 'there' },
      /cluster "there" has made it: allowedNamespaces of BackupRepository br must name app itself, an empty list lets in no other cluster/,
      /another namespace/,
    ],
    [{ namespace: 'copy', about, clusters: 'there' }, /another namespace: .*allowedNamespaces name both/, /itself/],
    [{ namespace: 'copy' }, /another namespace: .*allowedNamespaces name both/, /cluster/],
  ]
  for (const [given, says, never] of cases) {
    const { message = '' } = (await slice(aWorld(given))).status ?? {}
    assert.match(message, says)
    assert.not.match(message, never)
  }
})

test('a Download opens no repository that does not allow its namespace: made later, or closed meanwhile', async () => {
  const opened: string[] = []
  const world = aWorld({ namespace: 'app', allowed: ['app'] })
  world.deps.access = async (name) => {
    opened.push(name)
    return {} as never
  }
  await slice(world)
  assert.equal(opened, ['br'])
  const repository = world.cluster.peek('BackupRepository', undefined, 'br') as LooseObject
  await world.cluster.patch('BackupRepository', repository, { allowedNamespaces: ['somebody-else'] })
  const { status } = await slice(world)
  assert.equal([status?.phase, status?.reason, opened], ['Failed', 'NamespaceNotAllowed', ['br']])
})

test('a Download whose repository is not there waits for it, and asks once it is', async () => {
  const world = aWorld({ namespace: 'app', allowed: ['somebody-else'] })
  const { deps, cluster } = world
  const repository = cluster.peek('BackupRepository', undefined, 'br') as LooseObject
  await cluster.delete('BackupRepository', repository)
  assert.equal((await slice(world)).status?.phase, 'Retry')
  cluster.seed('BackupRepository', repository)
  const download = cluster.peek('Download', 'velero', world.download.metadata.name) as LooseObject
  await cluster.patch('Download', download, { status: { nextRetryTimestamp: '2020-01-01T00:00:00Z' } })
  deps.access = async () => {
    throw new Error('it was opened')
  }
  assert.is((await slice(world)).status?.reason, 'NamespaceNotAllowed')
})

const MEANWHILE: [
  text: string,
  change: (cluster: MemoryCluster, seen: LooseObject) => Promise<unknown>,
  status: object,
][] = [
  [
    'takes the allowance back',
    (cluster, seen) => cluster.patch('BackupRepository', seen, { allowedNamespaces: ['app'] }),
    { phase: 'Failed', reason: 'NotPermitted' },
  ],
  [
    'replaces it by another of its name',
    async (cluster, seen) => {
      await cluster.delete('BackupRepository', seen)
      const { uid: _uid, resourceVersion: _version, ...metadata } = seen.metadata
      await cluster.create('BackupRepository', { ...seen, metadata })
    },
    { phase: 'Retry', reason: 'RepositoryReplaced' },
  ],
  [
    'deletes it',
    (cluster, seen) => cluster.delete('BackupRepository', seen),
    { phase: 'Retry', reason: 'RepositoryNotFound' },
  ],
]
for (const [text, change, expected] of MEANWHILE)
  test(`nothing is written where somebody ${text} while the repository is opened`, async () => {
    const world = aWorld({ namespace: 'copy', allowed: ['app', 'copy'] })
    world.deps.access = async () => {
      await change(world.cluster, world.cluster.peek('BackupRepository', undefined, 'br') as LooseObject)
      return {} as never
    }
    const { status } = await slice(world)
    assert.equal({ phase: status?.phase, reason: status?.reason }, expected)
    assert.is(world.asked.length, 0)
  })

test('the permission is checked at each slice: after its Restore has ended nothing more is written', async () => {
  const world = aWorld({ namespace: 'copy', restore: MAPPED })
  await slice(world)
  const restore = world.cluster.peek('Restore', 'velero', 'back') as LooseObject
  await world.cluster.patch('Restore', restore, { status: { phase: 'PartiallyFailed' } })
  const { status } = await slice(world)
  assert.equal([world.asked.length, status?.reason], [1, 'NotPermitted'])
})

test("another clone under the name of the Download's own gives it no Restore", async () => {
  const world = aWorld({ namespace: 'copy', restore: MAPPED })
  await world.cluster.delete('CloneFromSnapshot', world.clone as LooseObject)
  aClone(world.cluster, 'copy', world.cluster.peek('Restore', 'velero', 'back')?.metadata.uid)
  assert.equal([(await slice(world)).status?.reason, world.asked.length], ['NotPermitted', 0])
})

test('a reference that names no clone is refused', async () => {
  for (const reference of ['copy', 'copy/x/y', '../velero/x', 'copy/A']) {
    const world = aWorld()
    await world.cluster.patch('Download', world.download, { spec: { clonefromSnapshotReference: reference } })
    assert.is((await slice(world)).status?.reason, 'NotPermitted', reference)
  }
})

test("a Download outside of Velero's namespace is not looked at", async () => {
  const world = aWorld()
  const theirs = { ...world.download, metadata: { name: world.download.metadata.name, namespace: 'tenant' } }
  world.cluster.seed('Download', theirs)
  const before = world.cluster.peek('Download', 'tenant', theirs.metadata.name)
  const { why } = await slice(world, 'tenant')
  assert.is(why, "not in Velero's namespace")
  assert.equal(world.cluster.peek('Download', 'tenant', theirs.metadata.name), before)
  assert.is(world.asked.length, 0)
})

for (const [namespace, reason] of [
  ['copy', 'NotPermitted'],
  ['app', 'Transferring'],
] as const)
  test(`where Velero is not installed there is no Restore: ${namespace}, with a backup of app, is ${reason}`, async () => {
    const world = aWorld({ namespace, restoreUid: 'r-1' })
    const { cluster } = world
    const read = cluster.read.bind(cluster)
    cluster.read = async (kind, inNamespace, name) => {
      if (kind === 'Restore') throw new RetryableError('KubernetesKindMissing', 'no', { origin: 'api' })
      return await read(kind, inNamespace, name)
    }
    const { status } = await slice(world)
    assert.equal([status?.reason, world.asked.length], [reason, reason === 'Transferring' ? 1 : 0])
  })

const STAGED = { name: 'pvc-u', claimUID: 'u', reclaimPolicy: 'Delete', zeroed: true }
const annotated = (staged: object) => ({
  annotations: { 'dormouse.dev/staged': 'true', [STAGED_VOLUME_ANNOTATION]: JSON.stringify(staged) },
})

test('zeros are left out only on a disk that was proved to be new, and only for the first backup written to it', async () => {
  const cases: [text: string, given: Given, zeroed: boolean][] = [
    ['proved', { metadata: annotated(STAGED) }, true],
    ['the same backup goes on', { metadata: annotated(STAGED), status: { root: 'roots/2', nextChunk: 1 } }, true],
    ['another backup was begun', { metadata: annotated(STAGED), status: { root: 'roots/1', nextChunk: 5 } }, false],
    [
      'it was begun by an earlier slice',
      { metadata: annotated(STAGED), status: { root: 'roots/2', holdsOtherData: true } },
      false,
    ],
    ['not proved', { metadata: annotated({ ...STAGED, zeroed: false }) }, false],
    ['the annotation alone', { metadata: { annotations: { 'dormouse.dev/staged': 'true' } } }, false],
  ]
  for (const [text, given, zeroed] of cases) {
    const world = aWorld({ namespace: 'app', ...given })
    await slice(world)
    assert.equal(
      world.asked.map(({ targetIsZeroed }) => targetIsZeroed),
      [zeroed],
      text,
    )
  }
})

test('a change of the root is remembered: the next slice writes zeros, too', async () => {
  const world = aWorld({ namespace: 'app', metadata: annotated(STAGED), status: { root: 'roots/1', nextChunk: 5 } })
  await slice(world)
  await slice(world)
  assert.equal(
    world.asked.map(({ nextChunk, targetIsZeroed }) => [nextChunk, targetIsZeroed]),
    [
      [0, false],
      [1, false],
    ],
  )
})

test('before anything is made: a namespace that the repository does not allow needs a Restore that maps an allowed one', async () => {
  const allowed = ['app']
  const cases: [text: string, given: Given, reason: string][] = [
    ['allowed', { namespace: 'app', allowed }, 'none'],
    ['an empty list allows all', { namespace: 'copy' }, 'none'],
    ['the namespace in its own snapshotID is no proof', { namespace: 'copy', allowed }, 'NamespaceNotAllowed'],
    ['mapped', { namespace: 'copy', allowed, restore: MAPPED }, 'none'],
    [
      'mapped from one that is not allowed',
      { namespace: 'copy', allowed: ['web'], restore: MAPPED },
      'NamespaceNotAllowed',
    ],
    [
      'mapped from an allowed one that it excludes',
      { namespace: 'copy', allowed, restore: { ...MAPPED, excludedNamespaces: ['app'] } },
      'NamespaceNotAllowed',
    ],
    [
      'without claims',
      { namespace: 'copy', allowed, restore: { ...MAPPED, restorePVs: false } },
      'NamespaceNotAllowed',
    ],
    ['over', { namespace: 'copy', allowed, restore: MAPPED, phase: 'Failed' }, 'NamespaceNotAllowed'],
    ['an operator', { namespace: 'velero', allowed }, 'none'],
  ]
  for (const [text, given, reason] of cases) {
    const { deps, clone } = aWorld(given)
    assert.is(await reasonOf(requireRestoreAllowed(deps, clone as LooseObject)), reason, text)
  }
})

test.run()
