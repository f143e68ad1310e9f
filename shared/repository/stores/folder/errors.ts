// Maps file system errors to the errors of the port.

import { RetryableError, TerminalError } from '#shared/kernel/errors.ts'

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

const REFUSED = ['EACCES', 'EPERM', 'EROFS']
/** A file system without hard links answers link(2) with one of these. */
const NO_LINKS = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV']
const MEANINGS: Record<string, string> = {
  EACCES: 'the function may not do that there',
  EPERM: 'the function may not do that there',
  EROFS: 'it is mounted read-only',
  ENOSPC: 'the file system is full',
  EDQUOT: 'the quota is used up',
  ESTALE: 'the NFS server has lost the folder',
  EIO: 'the file system has trouble',
  ETIMEDOUT: 'the server does not answer',
  ENOTCONN: 'the server does not answer',
}

/** A full or unreachable file system may recover; a refusal does not go away. Other errors stay as they are. */
export function folderError(what: string, error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined || code === 'ABORT_ERR' || !/^E[A-Z0-9]+$/.test(code)) return error
  const meaning = MEANINGS[code]
  const said = `${what}: ${code}${meaning === undefined ? '' : `, ${meaning}`}`
  if (!REFUSED.includes(code)) return new RetryableError('StoreUnavailable', said, { cause: error })
  return new TerminalError('StoreRefused', `${said}${code === 'EROFS' ? '' : ownerHint()}`, { cause: error })
}

/** `error` comes from link(2). */
export function linkError(what: string, error: unknown): unknown {
  const code = codeOf(error) ?? ''
  if (!NO_LINKS.includes(code)) return folderError(what, error)
  const why = 'its file system makes no hard links, by which an object is written once: use another one'
  return new TerminalError('StoreUnsupported', `${what}: ${code}: ${why}`, { cause: error })
}

function ownerHint(): string {
  const { getuid, getgid } = process
  if (getuid === undefined || getgid === undefined) return ''
  return `: let user ${getuid()} or group ${getgid()} write there; on NFS look at the export's options (ro, root_squash, all_squash)`
}
