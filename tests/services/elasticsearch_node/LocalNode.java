import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Arguments: HOME (has modules/), FOLDER (gets data/ and logs/), and settings as name=value.
 * The address is in FOLDER/logs/http.ports. The node lives as long as its standard input is open, so that it never
 * outlives the tests that started it.
 */
public class LocalNode {
    private static final String NAME = "node";

    public static void main(String[] arguments) throws Exception {
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path folder = Path.of(arguments[1]).toAbsolutePath();
        for (String part : new String[] { "config", "data", "logs" }) {
            Files.createDirectories(folder.resolve(part));
        }
        Settings.Builder settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", folder.resolve("data").toString())
            .put("path.logs", folder.resolve("logs").toString())
            .put("cluster.name", "tests")
            .put("node.name", NAME)
            .put("node.portsfile", true)
            .put("discovery.type", "single-node")
            .put("network.host", "127.0.0.1")
            .put("http.port", "0")
            .put("transport.port", "0")
            .put("http.type", "netty4")
            .put("transport.type", "netty4")
            .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (int place = 2; place < arguments.length; place++) {
            String[] pair = arguments[place].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        Node node = create(settings.build(), folder.resolve("config"));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> close(node)));
        node.start();
        while (System.in.read() != -1) {
            // Nothing is ever said; the end is what counts.
        }
        System.exit(0);
    }

    private static Node create(Settings settings, Path config) {
        LogConfigurator.registerErrorListener();
        LogConfigurator.setNodeName(NAME);
        LogConfigurator.configureWithoutConfig(settings);
        LogConfigurator.configureESLogging();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> NAME);
        var modules = PluginsLoader.loadModulesBundles(environment.modulesDir());
        var plugins = PluginsLoader.loadPluginsBundles(environment.pluginsDir());
        // Everything is on the class path: there is no module layer of the server to hang the plugins under.
        return new Node(environment, PluginsLoader.createPluginsLoader(modules, plugins, Map.of(), false));
    }

    private static void close(Node node) {
        try {
            node.close();
        } catch (Exception error) {
            error.printStackTrace();
        }
    }
}
