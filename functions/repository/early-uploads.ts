// Uploads that were created before their repository existed: the first Upload of a namespace is requested together with its repository.

import type { Upload } from '#shared/api/types.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { stepPatch } from '#shared/domain/step-label.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'
import { asError } from '#shared/kernel/errors.ts'

const NO_REPOSITORY = ['RepositoryNotFound', 'RepositoryMissing']

/**
 * The repository that these Uploads failed for exists now, so their back-off ends. Nothing depends on this: an Upload that is not woken
 * (because the process died, or of a conflicting write) is retried when its back-off is over.
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
