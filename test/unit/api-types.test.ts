// Mistakes that the types of the kinds refuse. The compiler is the test: with `@ts-expect-error`, an error that does not occur is an error.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { Snapshot, StatusChangeOf, Upload } from '#shared/api/types.ts'
import type { Cluster } from '#shared/ports/cluster.ts'

const types = suite('types of the kinds')

const upload: Upload = {
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  metadata: { name: 'upload-1', namespace: 'velero' },
  spec: { snapshotID: 'ivd:1:2' },
}

/** Never called: only compiled. */
export async function refused(cluster: Cluster, snapshot: Snapshot): Promise<void> {
  const seen = await cluster.read('Upload', 'velero', 'upload-1')
  // @ts-expect-error the object may be gone
  seen.metadata
  // @ts-expect-error the object may have no status yet
  seen?.status.phase
  // @ts-expect-error no field of that name
  seen?.status?.phaze
  // @ts-expect-error no phase of that name
  if (seen?.status?.phase === 'Complete') return
  // @ts-expect-error a field of another kind
  seen?.spec.cloneCancel
  // @ts-expect-error no kind of that name
  await cluster.read('Uplaod', 'velero', 'upload-1')
  // @ts-expect-error an object of another kind
  await cluster.patch('Upload', snapshot, { metadata: {} })
  // @ts-expect-error no phase of that name
  await cluster.patch('Upload', upload, { status: { phase: 'Uploaded' } })
  // @ts-expect-error no field of that name
  await cluster.patch('Upload', upload, { status: { massage: '' } })
  // @ts-expect-error a string is no number
  await cluster.patchStatus('Snapshot', snapshot, { progress: { percent: '7' } })
  // @ts-expect-error a kind is no part of a patch
  await cluster.patch('Upload', upload, { kind: 'Download' })
  // @ts-expect-error its spec is missing
  await cluster.create('Upload', { apiVersion: upload.apiVersion, kind: 'Upload', metadata: upload.metadata })
  for (const lease of await cluster.list('Lease')) {
    // @ts-expect-error a Lease has no such field
    lease.spec?.holder
  }
}

types('what the types allow is stored in the cluster as it was written', async () => {
  const cluster = new MemoryCluster({ clock: { nowMs: () => 0 } })
  const created = await cluster.create('Upload', upload)
  const status = { phase: 'InProgress', slice: 1, nextRetryTimestamp: null } satisfies StatusChangeOf<'Upload'>
  const written = await cluster.patch('Upload', created, { metadata: { labels: { a: 'b' } }, status })
  assert.equal(written.status, { phase: 'InProgress', slice: 1 })
})

types.run()
