// Puts what the builds made where it is published from: the binary into its platform package, the declarations of the
// public API beside the sources, where a change to them is reviewed.
import { copyFileSync, existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const binary = 'surefoot.linux-x64-gnu.node'
if (existsSync(`${root}native/${binary}`)) copyFileSync(`${root}native/${binary}`, `${root}npm/linux-x64-gnu/${binary}`)
copyFileSync(`${root}target/api/index.d.mts`, `${root}index.d.ts`)
