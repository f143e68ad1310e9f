// A tenant may write every field of a CloneFromSnapshot's status, at any moment. Whatever it holds, Dormouse reads, changes and deletes
// nothing of others because of it. The restore is whole all the same, or ends with a reason.

import type { Test } from 'uvu'
import * as assert from 'uvu/assert'
import { CLONE_FROM_SNAPSHOT_PHASES } from '#shared/api/types.ts'
import { HAND_OVER_ANNOTATION } from '#shared/domain/staged-volume.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aWaitingClaim, diskBytes, isDone } from './objects.ts'
import { World } from './world.ts'

export const AWAITED = 'dormouse-awaited'
const THEIRS = 'download-50a00000-0000-4000-8000-000000000999-11111111-0000-4000-8000-000000000000'

const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', 'restored', 'clone-1')
const downloadIn = (world: World) =>
  world.cluster.peekAll('Download').find(({ spec }) => spec.clonefromSnapshotReference === 'restored/clone-1')

const BETWEEN = 'between two volumes'
const MOMENTS: Record<string, (world: World) => boolean> = {
  'before anything is made': () => true,
  'while the disk is provisioned': (world) => cloneIn(world)?.['status']?.reason === 'Provisioning',
  'while the data is written': (world) => Number(downloadIn(world)?.['status']?.nextChunk) > 0,
  'when the data is whole': (world) => downloadIn(world)?.['status']?.phase === 'Completed',
  'in the hand-over': (world) => downloadIn(world)?.metadata.annotations?.[HAND_OVER_ANNOTATION] !== undefined,
  [BETWEEN]: (world) => {
    const isFirst = ({ metadata }: LooseObject) => metadata.name.startsWith('pvc-')
    const hasBegun = downloadIn(world)?.metadata.annotations?.[HAND_OVER_ANNOTATION] !== undefined
    return hasBegun && !world.cluster.peekAll('PersistentVolume').some(isFirst)
  },
  'when it is over': (world) => isDone(cloneIn(world)),
}

/** Forged phases are written only at these moments, in the middle of the work: they make the restore look over, or new. */
const AT_WORK = ['while the data is written', 'when the data is whole', 'in the hand-over', BETWEEN]

/** Forged plans of a hand-over: a PersistentVolume over the disk of app's volume, and one that reaches into the node. */
function plan(world: World, spec: object): string {
  const uid = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')?.metadata.uid ?? 'u'
  const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'restored', name: 'data' }
  return JSON.stringify({
    claimUID: uid,
    metadata: { name: AWAITED },
    spec: { capacity: { storage: '640Ki' }, claimRef, ...spec },
  })
}

const appHandle = (world: World): string =>
  world.cluster.peek('PersistentVolume', undefined, 'pv-data')?.['spec']?.csi?.volumeHandle ?? ''

const FORGERIES: Record<string, (world: World) => object> = {
  "volumeName of app's volume": () => ({ volumeName: 'pv-data' }),
  "volumeID of app's disk, stagingClaim of its claim": (world) => ({
    volumeID: `ivd:${appHandle(world)}`,
    stagingClaim: 'data',
  }),
  "downloadName of another restore's": () => ({ downloadName: THEIRS }),
  'downloadName with path parts': () => ({ downloadName: '../secrets/x' }),
  "restoredVolume over app's disk": (world) => ({
    restoredVolume: plan(world, { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: appHandle(world) } }),
    volumeName: 'pv-data',
  }),
  'restoredVolume with a path of the node': (world) => ({
    restoredVolume: plan(world, { hostPath: { path: '/etc' }, csi: { volumeHandle: 'x' } }),
  }),
  'reclaimPolicy Retain': () => ({ reclaimPolicy: 'Retain' }),
  'nothing at all': () => ({
    volumeName: null,
    volumeID: null,
    downloadName: null,
    reclaimPolicy: null,
    stagingClaim: null,
  }),
  ...Object.fromEntries(CLONE_FROM_SNAPSHOT_PHASES.map((phase) => [`phase ${phase}`, () => ({ phase })])),
}

/** What belongs to app, and a Download of another restore that has begun its hand-over. */
function aVictim(world: World): () => void {
  world.cluster.seed('Download', {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Download',
    metadata: {
      name: THEIRS,
      namespace: 'velero',
      labels: { 'dormouse.dev/step': 'done' },
      annotations: { 'dormouse.dev/staged': 'true', [HAND_OVER_ANNOTATION]: '{"target":"data"}' },
    },
    spec: {
      snapshotID: 'ivd:a1:b2',
      protectedEntityID: `ivd:${appHandle(world)}`,
      clonefromSnapshotReference: 'app/theirs',
    },
    status: {
      phase: 'Completed',
      completionTimestamp: rfc3339(world.clock.nowMs()),
      conditions: [{ type: 'Downloaded', status: 'True', reason: 'DataWritten', message: '', lastTransitionTime: '' }],
    },
  })
  const look = () => ({
    volume: world.cluster.peek('PersistentVolume', undefined, 'pv-data'),
    claim: world.cluster.peek('PersistentVolumeClaim', 'app', 'data'),
    download: world.cluster.peek('Download', 'velero', THEIRS),
    bytes: diskBytes(world, appHandle(world)).toString('base64'),
  })
  const before = look()
  return () => assert.equal(look(), before)
}

/** Writes the status as `kubectl edit --subresource=status` does. */
async function forge(world: World, status: object): Promise<void> {
  const ref = { metadata: { namespace: 'restored', name: 'clone-1' } } as LooseObject
  await world.cluster.patchStatus('CloneFromSnapshot', ref, status)
}

function assertNoHarm(world: World, forgedPhase: boolean): void {
  assert.equal(world.errors, [])
  assert.equal(
    world.broken.filter((text) => !forgedPhase || !text.startsWith('CloneFromSnapshot ')),
    [],
  )
  const { phase, reason } = cloneIn(world)?.['status'] ?? {}
  assert.ok(['Completed', 'Failed', 'Canceled'].includes(phase!), world.describe())
  // With a forged final phase from before its begin, the restore has no reason of its own.
  if (!forgedPhase) assert.ok(typeof reason === 'string' && reason !== '', 'it has no reason')
  const claim = world.cluster.peek('PersistentVolumeClaim', 'restored', 'data')
  if (claim?.['status']?.phase !== 'Bound') return
  const volume = world.cluster.peek('PersistentVolume', undefined, claim['spec'].volumeName!)
  const { csi, hostPath, persistentVolumeReclaimPolicy }: LooseObject = volume?.['spec'] ?? {}
  assert.equal([hostPath, persistentVolumeReclaimPolicy], [undefined, 'Delete'])
  assert.is.not(csi?.volumeHandle, appHandle(world))
  assert.ok(diskBytes(world, csi?.volumeHandle ?? '').equals(diskBytes(world, appHandle(world))))
}

/** Runs each forgery at each moment. `awaits`: restores into a claim of Velero's. */
export function forgeEach(test: Test, awaits?: string): void {
  for (const [moment, isNow] of Object.entries(MOMENTS)) {
    if (awaits === undefined && moment === BETWEEN) continue
    for (const [text, forgery] of Object.entries(FORGERIES)) {
      if (text.startsWith('phase') && !AT_WORK.includes(moment)) continue
      test(`${moment}: ${text}`, async () => {
        const world = new World(moment.length + text.length)
        const snapshot = await aBackup(world)
        const assertUnharmed = aVictim(world)
        const clone = aClone(world, 'clone-1', snapshot, { awaits })
        if (awaits !== undefined) aWaitingClaim(world, clone)
        // Not world.run, which would let the running work reach its end first.
        while (!isNow(world) && !isDone(cloneIn(world))) await world.turn()
        await forge(world, forgery(world))
        await world.run(() => world.isQuiet())
        for (let turn = 0; turn < 6; turn++) await world.turn()
        assertUnharmed()
        assertNoHarm(world, text.startsWith('phase'))
        if (!text.startsWith('phase')) assert.is(cloneIn(world)?.['status']?.phase, 'Completed', world.describe())
        assertNothingLeft(world)
      })
    }
  }
}
