// Starts `pipe lsp` for the Pipelinefiles and modules that are open.
"use strict";

const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

function settings() {
  return vscode.workspace.getConfiguration("pipelinefile");
}

async function start() {
  client = new LanguageClient(
    "pipelinefile",
    "Pipelinefile",
    { command: settings().get("path"), args: ["lsp"], transport: TransportKind.stdio },
    {
      documentSelector: [{ scheme: "file", language: "pipelinefile" }],
      initializationOptions: { environment: settings().get("environment"), params: settings().get("params") },
      // Whatever a Pipelinefile reads may change what is wrong with it.
      synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*") },
    },
  );
  try {
    await client.start();
  } catch (err) {
    const open = "Open Settings";
    const chosen = await vscode.window.showErrorMessage(
      `pipe lsp does not start: ${err.message}. Install pipe, or say where it is with pipelinefile.path.`, open);
    if (chosen === open) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "pipelinefile.path");
    }
  }
}

async function stop() {
  const old = client;
  client = undefined;
  if (old && old.isRunning()) {
    await old.stop();
  }
}

async function activate(context) {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("pipelinefile.restart", restart),
    vscode.workspace.onDidChangeConfiguration((e) => {
      if (e.affectsConfiguration("pipelinefile")) {
        return restart();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
