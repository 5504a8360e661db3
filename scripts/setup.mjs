// Makes a checkout ready to run: installs what package-lock.json names, builds the native binding and the TypeScript.
// Both builds do nothing when nothing changed.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

function run(command, ...parameters) {
  const { status, error } = spawnSync(command, parameters, { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    process.stderr.write(`surefoot: ${error?.message ?? `${command} ${parameters.join(' ')} failed`}\n`)
    process.exit(status ?? 1)
  }
}

function requireTools() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19)) {
    process.stderr.write(`surefoot: Node ${process.versions.node} is too old; 20.19 or newer is needed\n`)
    process.exit(1)
  }
  if (spawnSync('cargo', ['--version']).status !== 0) {
    process.stderr.write('surefoot: no Rust toolchain found; install one from https://rustup.rs\n')
    process.exit(1)
  }
}

function installed() {
  const marker = `${root}node_modules/.package-lock.json`
  return existsSync(marker) && statSync(marker).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs
}

requireTools()
// Not `npm ci`: it refuses a lock file that lacks the optional packages of other platforms, which a registry may not serve.
if (!installed()) run('npm', 'install', '--no-save', '--no-audit', '--no-fund')
run('npm', 'run', '--silent', 'build')
