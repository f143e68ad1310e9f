// What an Upload writes into the Snapshot that it was made for, and into no other Snapshot of the same name.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { mirrorToSnapshot } from '#shared/controllers/mirror.ts'
import { formatClaimSnapshotId } from '#shared/domain/ids.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { stores } from '#test/support/stores.ts'

const mirroring = suite('what a Snapshot shows of its Upload')

const FCD = '11111111-1111-4111-8111-111111111111'
const [FIRST, SECOND] = ['22222222-2222-4222-8222-222222222222', '33333333-3333-4333-8333-333333333333']

async function phaseAfter(snapshotId: string | undefined, phase = 'Completed'): Promise<string> {
  const cluster = new MemoryCluster({ clock: systemClock })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const deps: StepDeps = { cluster, clock: systemClock, settings: readSettings({}), stores, identity: 'pod', log }
  const disk = snapshotId === undefined ? undefined : { fcdId: FCD, snapshotId }
  const snapshotID = disk && formatClaimSnapshotId({ namespace: 'shop', claim: 'data', disk })
  cluster.seed('Snapshot', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'Snapshot',
    metadata: { name: 's', namespace: 'shop' },
    spec: { backupRepository: 'br' },
    status: { phase: 'Snapshotted', ...(snapshotID === undefined ? {} : { snapshotID }) },
  })
  const upload: LooseObject = {
    apiVersion: '',
    kind: 'Upload',
    metadata: { name: `upload-${FIRST}`, namespace: 'velero' },
    spec: { snapshotID: `ivd:${FCD}:${FIRST}`, snapshotReference: 'shop/s' },
    status: { phase },
  }
  await mirrorToSnapshot(deps, upload)
  return cluster.peek('Snapshot', 'shop', 's')?.['status']?.phase ?? ''
}

mirroring('the Snapshot whose disk snapshot an Upload moves shows its end', async () => {
  assert.is(await phaseAfter(FIRST), 'Uploaded')
  assert.is(await phaseAfter(FIRST, 'Canceled'), 'Canceled')
})

mirroring('a Snapshot that was made anew under the same name shows nothing of the Upload', async () => {
  for (const phase of ['Completed', 'Canceled', 'UploadFailedAfterRetry']) {
    assert.is(await phaseAfter(SECOND, phase), 'Snapshotted')
    assert.is(await phaseAfter(undefined, phase), 'Snapshotted')
  }
})

mirroring.run()
