// Is VDDK where the functions look for it, and which version is it?

import { type Finding, note, ok, problemOf } from '../finding.ts'

type VddkDeps = {
  /** DORMOUSE_VDDK_DIR, or the option. */
  dir: string | undefined
  /** Path of the library; throws with the fix if there is none. */
  find: (dir: string) => Promise<string>
  /** Follows links: the name of the actual file contains the version. */
  realPath: (path: string) => Promise<string>
}

export async function checkVddk(deps: VddkDeps): Promise<Finding[]> {
  if (deps.dir === undefined) {
    return [
      note('vddk', '', 'not looked for: set DORMOUSE_VDDK_DIR or --vddk-dir, on a node that runs upload and download'),
    ]
  }
  try {
    const path = await deps.find(deps.dir)
    const file = await deps.realPath(path)
    const version = /\.so\.(\d+(?:\.\d+)*)$/.exec(file)?.[1] ?? 'unknown'
    return [ok('vddk', deps.dir, `version ${version} at ${path}; it must be within two versions of each vCenter`)]
  } catch (error) {
    return [problemOf('vddk', deps.dir, error)]
  }
}
