// Uploads that came before their repository: the first one of a namespace is asked for together with it.

import type { Upload } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError } from '#shared/kernel/errors.ts'

const NO_REPOSITORY = ['RepositoryNotFound', 'RepositoryMissing']

/**
 * What they failed of is there now, so their back-off is over. Nothing leans on it: one that is not woken (a death before this, a write
 * in between) is tried again when its time comes.
 */
export async function wakeEarlyUploads(deps: StepDeps, repository: string): Promise<void> {
  try {
    const uploads = await deps.cluster.list('Upload', { namespace: deps.settings.veleroNamespace })
    for (const upload of uploads.filter((one) => waitsFor(one, repository))) await wake(deps, upload)
  } catch (error) {
    deps.log.warn(
      { err: asError(error) },
      `could not wake the uploads that wait for ${repository}; they come when it is time`,
    )
  }
}

function waitsFor(upload: Upload, repository: string): boolean {
  const isBackingOff = seeUpload(upload).phase === 'UploadError' && NO_REPOSITORY.includes(upload.status?.reason ?? '')
  return isBackingOff && upload.spec?.backupRepository === repository
}

async function wake({ cluster, clock }: StepDeps, upload: Upload): Promise<void> {
  const nowMs = clock.nowMs()
  const status = { nextRetryTimestamp: rfc3339(nowMs) }
  await cluster.patch('Upload', upload, { metadata: stepPatch('upload', nowMs), status })
}
