// The extension with a VS Code and a language client that note what is asked of them:
// neither is needed to see that it starts, restarts and stops the right server.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const test = require("node:test");

const root = path.join(__dirname, "..");

// load returns the extension as it sees a VS Code with these settings, and what it did.
function load(settings, fails) {
  const seen = { clients: [], commands: {}, errors: [], asked: [], configured: undefined };
  class LanguageClient {
    constructor(id, name, server, options) {
      Object.assign(this, { id, name, server, options, running: false });
      seen.clients.push(this);
    }
    async start() {
      if (fails) {
        throw new Error("spawn pipe ENOENT");
      }
      this.running = true;
    }
    async stop() {
      this.running = false;
    }
    isRunning() {
      return this.running;
    }
  }
  const fakes = {
    vscode: {
      workspace: {
        getConfiguration: (section) => ({ get: (key) => settings[`${section}.${key}`] }),
        createFileSystemWatcher: (pattern) => ({ pattern }),
        onDidChangeConfiguration: (listener) => {
          seen.configured = listener;
          return {};
        },
      },
      commands: {
        registerCommand: (name, run) => {
          seen.commands[name] = run;
          return {};
        },
        executeCommand: async (...args) => seen.asked.push(args),
      },
      window: {
        showErrorMessage: async (message, button) => {
          seen.errors.push(message);
          return button;
        },
      },
    },
    "vscode-languageclient/node": { LanguageClient, TransportKind: { stdio: 0 } },
  };
  const original = Module._load;
  Module._load = (name, ...rest) => fakes[name] ?? original(name, ...rest);
  try {
    const file = path.join(root, "extension.js");
    delete require.cache[file];
    return { extension: require(file), seen };
  } finally {
    Module._load = original;
  }
}

const settings = { "pipelinefile.path": "/opt/pipe", "pipelinefile.environment": "staging", "pipelinefile.params": { size: "2" } };

test("starts the server of the settings", async () => {
  const { extension, seen } = load(settings);
  const context = { subscriptions: [] };
  await extension.activate(context);
  const [client] = seen.clients;
  assert.deepStrictEqual(client.server, { command: "/opt/pipe", args: ["lsp"], transport: 0 });
  assert.deepStrictEqual(client.options.initializationOptions, { environment: "staging", params: { size: "2" } });
  assert.deepStrictEqual(client.options.documentSelector, [{ scheme: "file", language: "pipelinefile" }]);
  assert.ok(client.running);
  assert.strictEqual(context.subscriptions.length, 2);

  await extension.deactivate();
  assert.ok(!client.running);
});

test("starts anew on demand and with new settings", async () => {
  const { extension, seen } = load(settings);
  await extension.activate({ subscriptions: [] });
  await seen.commands["pipelinefile.restart"]();
  await seen.configured({ affectsConfiguration: (section) => section === "pipelinefile" });
  await seen.configured({ affectsConfiguration: () => false });
  assert.deepStrictEqual(seen.clients.map((c) => c.running), [false, false, true]);
});

test("says what to do when pipe is not there", async () => {
  const { extension, seen } = load(settings, true);
  await extension.activate({ subscriptions: [] });
  assert.match(seen.errors[0], /spawn pipe ENOENT.*pipelinefile\.path/);
  assert.deepStrictEqual(seen.asked, [["workbench.action.openSettings", "pipelinefile.path"]]);
  await extension.deactivate(); // there is nothing to stop
});

test("the manifest names what is there", async () => {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  const { languages, grammars, commands, configuration } = manifest.contributes;
  for (const file of [manifest.main, languages[0].configuration, grammars[0].path]) {
    assert.ok(fs.existsSync(path.join(root, file)), file);
  }
  JSON.parse(fs.readFileSync(path.join(root, languages[0].configuration), "utf8"));
  assert.strictEqual(JSON.parse(fs.readFileSync(path.join(root, grammars[0].path), "utf8")).scopeName, grammars[0].scopeName);
  const { extension, seen } = load(settings);
  await extension.activate({ subscriptions: [] });
  assert.deepStrictEqual(commands.map((c) => c.command), Object.keys(seen.commands));
  assert.deepStrictEqual(Object.keys(configuration.properties).sort(), Object.keys(settings).sort());
  // What is packed: not the tests, and not what only they need.
  const ignored = fs.readFileSync(path.join(root, ".vscodeignore"), "utf8").split("\n");
  assert.ok(ignored.includes("test/**") && !ignored.some((line) => line.startsWith("node_modules")));
});
